#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server_reply.h"
#include "server_rig.h"

struct folder {
  char path[600];
  char socket[700]; /* longer than a sockaddr_un holds */
  char address[710];
};

static void make_folder(struct folder *folder) {
  int length = snprintf(folder->path, sizeof folder->path, "/tmp/tidegate_%d_XXXXXX", getpid());
  assert_non_null(mkdtemp(folder->path));
  for (int i = 0; i < 2; i++) {
    length += snprintf(folder->path + length, sizeof folder->path - (size_t)length, "/%0200d", i);
    assert_int_equal(mkdir(folder->path, 0700), 0);
  }
  snprintf(folder->socket, sizeof folder->socket, "%s/tidegate.sock", folder->path);
  snprintf(folder->address, sizeof folder->address, "unix:%s", folder->socket);
}

static void remove_folder(struct folder *folder) {
  for (int i = 0; i < 3; i++) {
    rmdir(folder->path);
    *strrchr(folder->path, '/') = '\0';
  }
}

static int dial_unix(const struct folder *folder) {
  int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int place = open(folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/tidegate.sock", place);
  assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(fcntl(client, F_SETFL, O_NONBLOCK), 0);
  close(place);
  return client;
}

static void a_unix_socket_with_a_long_path_serves_its_owner_only(void **state) {
  struct server_rig *rig = *state;
  struct folder folder;
  struct stat file;
  struct server_reply reply = {0};
  char peer[ADDRESS_SOCKET_TEXT_MAX];
  make_folder(&folder);
  server_rig_listen(rig, folder.address, (struct http_listen_options){0});
  rig->mode = SERVER_RIG_HOLD;
  assert_int_equal(stat(folder.socket, &file), 0);
  assert_int_equal(file.st_mode & 0777, 0600);
  int client = dial_unix(&folder);
  server_rig_send_text(rig, client, GET);
  server_rig_await_requests(rig, 1);
  assert_int_equal(http_exchange_peer_uid(rig->held[0]), getuid());
  http_exchange_peer(rig->held[0], peer, sizeof peer);
  assert_string_equal(peer, "unix");
  server_rig_answer(rig->held[0], 200, "ok", 2);
  server_reply_await_answers(rig, client, &reply, 1);
  assert_int_equal(server_reply_status(&reply), 200);
  http_listener_drain(rig->listener);
  assert_int_equal(stat(folder.socket, &file), -1);
  close(client);
  remove_folder(&folder);
}

static int try_listen(struct server_rig *rig, const struct folder *folder, struct err *err) {
  struct address address;
  (void)rig;
  assert_int_equal(address_parse(&address, folder->address, err), 0);
  return listener_bind(&address, false, err);
}

static void a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not(void **state) {
  struct server_rig *rig = *state;
  struct folder folder;
  struct err err;
  struct stat before, after;
  make_folder(&folder);
  int stale = try_listen(rig, &folder, &err);
  assert_true(stale >= 0);
  close(stale); /* the file stays */
  assert_int_equal(stat(folder.socket, &before), 0);
  server_rig_listen(rig, folder.address, (struct http_listen_options){0});
  assert_int_equal(stat(folder.socket, &before), 0);
  assert_int_equal(try_listen(rig, &folder, &err), -1);
  assert_string_equal(err.code, "address_in_use");
  assert_int_equal(stat(folder.socket, &after), 0);
  assert_int_equal(before.st_ino, after.st_ino);
  http_listener_close(rig->listener);
  server_rig_quiesce(rig);

  int file = open(folder.socket, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  assert_true(file >= 0);
  close(file);
  assert_int_equal(try_listen(rig, &folder, &err), -1);
  assert_string_equal(err.code, "io_error");
  assert_int_equal(unlink(folder.socket), 0);
  remove_folder(&folder);
}

static void a_taken_port_is_named_in_the_error(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){0});
  struct err err;
  char text[ADDRESS_TEXT_MAX];
  address_format(http_listener_address(rig->listener), text, sizeof text);
  assert_int_equal(listener_bind(http_listener_address(rig->listener), false, &err), -1);
  assert_string_equal(err.code, "address_in_use");
  assert_non_null(strstr(err.message, text));
}

static void two_listeners_share_a_port_when_both_ask_for_it(void **state) {
  struct server_rig *rig = *state;
  server_rig_listen(rig, "127.0.0.1:0", (struct http_listen_options){.reuse_port = true});
  struct err err;
  int second = listener_bind(http_listener_address(rig->listener), true, &err);
  assert_true(second >= 0);
  close(second);
}

static void a_bound_descriptor_can_be_adopted(void **state) {
  struct server_rig *rig = *state;
  struct address address;
  struct err err;
  assert_int_equal(address_parse(&address, "[::1]:0", &err), 0);
  int descriptor = listener_bind(&address, false, &err);
  if (descriptor < 0) skip(); /* a machine without IPv6 */
  server_rig_listen(rig, "[::1]:0",
                    (struct http_listen_options){.adopt = true, .descriptor = descriptor});
  assert_int_not_equal(http_listener_address(rig->listener)->socket.v6.sin6_port, 0);
  assert_int_equal(server_reply_status(server_reply_ask(rig, GET, strlen(GET))), 200);
}

#define IN_RIG(name) cmocka_unit_test_setup_teardown(name, server_rig_set_up, server_rig_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_RIG(a_unix_socket_with_a_long_path_serves_its_owner_only),
      IN_RIG(a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not),
      IN_RIG(a_taken_port_is_named_in_the_error),
      IN_RIG(two_listeners_share_a_port_when_both_ask_for_it),
      IN_RIG(a_bound_descriptor_can_be_adopted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
