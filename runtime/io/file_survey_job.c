#include "io/file_survey_job.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct file_survey_job {
  uv_work_t work;
  struct file_survey survey; /* the pool's until is_done */
  bool is_done;
  wake_fn wake; /* NULL: released */
  void *argument;
  size_t count;
  const char *paths[]; /* their bytes follow */
};

static struct file_survey_job *job_new(const char *const *paths, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += strlen(paths[i]) + 1;
  size_t head = sizeof(struct file_survey_job) + count * sizeof(char *);
  struct file_survey_job *job = calloc(1, head + bytes);
  if (job == NULL) return NULL;
  char *room = (char *)job + head;
  for (size_t i = 0; i < count; i++) {
    size_t size = strlen(paths[i]) + 1;
    memcpy(room, paths[i], size);
    job->paths[i] = room;
    room += size;
  }
  job->count = count;
  return job;
}

static void job_free(struct file_survey_job *job) {
  file_survey_deinit(&job->survey);
  free(job);
}

static void on_work(uv_work_t *work) {
  struct file_survey_job *job = work->data;
  file_survey_take(&job->survey, job->paths, job->count);
}

static void on_done(uv_work_t *work, int status) {
  (void)status;
  struct file_survey_job *job = work->data;
  job->is_done = true;
  if (job->wake == NULL)
    job_free(job);
  else
    job->wake(job->argument);
}

struct file_survey_job *file_survey_job_start(uv_loop_t *loop, const char *const *paths,
                                              size_t count, wake_fn wake, void *argument,
                                              struct err *err) {
  struct file_survey_job *job = job_new(paths, count);
  if (job == NULL) {
    err_set(err, "out_of_memory", "no memory to look at %zu paths", count);
    return NULL;
  }
  job->work.data = job;
  job->wake = wake;
  job->argument = argument;
  int status = uv_queue_work(loop, &job->work, on_work, on_done);
  if (status == 0) return job;
  err_set(err, "io", "could not start a look at %zu paths: %s", count, uv_strerror(status));
  job_free(job);
  return NULL;
}

const struct file_survey *file_survey_job_result(const struct file_survey_job *job) {
  return job->is_done ? &job->survey : NULL;
}

void file_survey_job_release(struct file_survey_job *job) {
  if (job->is_done) {
    job_free(job);
    return;
  }
  job->wake = NULL;
  uv_cancel((uv_req_t *)&job->work); /* one that runs already goes on; on_done comes either way */
}
