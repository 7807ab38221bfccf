/*-------------------------------------------------------------------------
 *
 * request_id.h
 *	  The id of the request that a transaction serves, see request_id.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_REQUEST_ID_H
#define DERIVE_BASE_REQUEST_ID_H

#include "utils/guc.h"

/* Prefix of the logical message that carries it: its content is the id, without a zero byte. */
#define DERIVE_MESSAGE_REQUEST "pg_derive.request"
#define DERIVE_REQUEST_ID_MAX 255

extern char *derive_request_id; /* setting; "": none */

/* True if this may be an id: 1 to DERIVE_REQUEST_ID_MAX bytes of printable ASCII. */
extern bool derive_request_id_valid(const char *text, Size len);

/* Check hook of the setting. */
extern bool derive_request_id_check(char **value, void **extra, GucSource source);

/* At pre-commit or pre-prepare: writes the message, if there is an id and something changed. */
extern void derive_request_id_log(void);

#endif /* DERIVE_BASE_REQUEST_ID_H */
