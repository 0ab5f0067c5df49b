/* A DNS server on UDP in a thread, scripted by the first label of the name. For specs.
 *
 *     silent.…   no answer           fail.…      SERVFAIL        missing.…  NXDOMAIN
 *     private.…  10.0.0.1            mixed.…     10.0.0.1 and 127.0.0.1
 *     slowMS.…   127.0.0.1 after MS milliseconds (others are answered meanwhile)
 *     dead.…     127.0.0.2           all others  127.0.0.1
 *
 * Questions for anything but A get an empty answer. */
#ifndef TIDEGATE_SPEC_NAME_SERVER_H
#define TIDEGATE_SPEC_NAME_SERVER_H

struct name_server;

struct name_server *name_server_start(void);
void name_server_stop(struct name_server *server);
/* "127.0.0.1:PORT", for the server list of a resolver. */
const char *name_server_address(const struct name_server *server);
/* Questions for A records so far. */
int name_server_questions(struct name_server *server);

#endif
