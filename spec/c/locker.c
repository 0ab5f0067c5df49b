#include "locker.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void locker_main(const char *path, int orders, int answers) {
  sqlite3 *db = NULL;
  char order;
  while (read(orders, &order, 1) == 1) {
    int code = SQLITE_OK;
    if (db == NULL) code = sqlite3_open(path, &db);
    if (code == SQLITE_OK)
      code = sqlite3_exec(db, order == 'l' ? "BEGIN IMMEDIATE" : "ROLLBACK", NULL, NULL, NULL);
    if (write(answers, code == SQLITE_OK ? "y" : "n", 1) != 1) break;
  }
  sqlite3_close(db);
  _exit(0);
}

struct locker locker_start(const char *path) {
  int orders[2];
  int answers[2];
  assert_int_equal(pipe(orders), 0);
  assert_int_equal(pipe(answers), 0);
  struct locker locker = {.pid = fork(), .orders = orders[1], .answers = answers[0]};
  if (locker.pid == 0) {
    close(orders[1]);
    close(answers[0]);
    locker_main(path, orders[0], answers[1]);
  }
  close(orders[0]);
  close(answers[1]);
  return locker;
}

void locker_order(const struct locker *locker, char order) {
  char answer = 0;
  assert_int_equal(write(locker->orders, &order, 1), 1);
  assert_int_equal(read(locker->answers, &answer, 1), 1);
  assert_int_equal(answer, 'y');
}

void locker_end(const struct locker *locker) {
  close(locker->orders);
  close(locker->answers);
  assert_int_equal(waitpid(locker->pid, NULL, 0), locker->pid);
}
