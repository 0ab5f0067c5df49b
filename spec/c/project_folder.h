/* A folder of its own for a test that works on files. */
#ifndef TIDEGATE_SPEC_PROJECT_FOLDER_H
#define TIDEGATE_SPEC_PROJECT_FOLDER_H

struct project_folder {
  char path[64]; /* without links */
};

void project_folder_open(struct project_folder *folder);
/* Removes it with what is in it. */
void project_folder_close(struct project_folder *folder);
/* The path of a file in it; valid for sixteen calls. */
const char *project_folder_path(const struct project_folder *folder, const char *name);
void project_folder_write(const struct project_folder *folder, const char *name, const char *text);
void project_folder_make(const struct project_folder *folder, const char *name);
void project_folder_link(const struct project_folder *folder, const char *name, const char *target);
void project_folder_move(const struct project_folder *folder, const char *from, const char *to);
void project_folder_remove(const struct project_folder *folder, const char *name);

#endif
