/* Certificates made on the spot, in a folder of their own. For specs. */
#ifndef TIDEGATE_SPEC_CERTIFICATES_H
#define TIDEGATE_SPEC_CERTIFICATES_H

struct certificates {
  char folder[64];
  char authority[96];   /* the issuer's certificate */
  char valid[96];       /* certificate and key for localhost and 127.0.0.1 */
  char wrong_host[96];  /* for other.test */
  char expired[96];     /* for localhost, a day ago */
  char self_signed[96]; /* for localhost, by nobody */
  char client[96];      /* for a client */
};

/* Aborts the test program when it cannot. */
void certificates_make(struct certificates *certificates);
/* Removes the folder. */
void certificates_remove(struct certificates *certificates);

#endif
