/* A survey (io/file_survey) on a thread of libuv's pool, for a loop that must not block. */
#ifndef TIDEGATE_IO_FILE_SURVEY_JOB_H
#define TIDEGATE_IO_FILE_SURVEY_JOB_H

#include <stddef.h>
#include <uv.h>

#include "base/err.h"
#include "base/wake.h"
#include "io/file_survey.h"

struct file_survey_job;

/* Copies the paths. Calls wake(argument) once, on the loop's thread, when it is done. NULL with
 * code "out_of_memory" or "io". */
struct file_survey_job *file_survey_job_start(uv_loop_t *loop, const char *const *paths,
                                              size_t count, wake_fn wake, void *argument,
                                              struct err *err);
/* NULL while it is not done; then the survey, which lives as long as the job. */
const struct file_survey *file_survey_job_result(const struct file_survey_job *job);
/* At any time, on the loop's thread: wake is not called any more. What runs ends by itself. */
void file_survey_job_release(struct file_survey_job *job);

#endif
