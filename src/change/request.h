/*-------------------------------------------------------------------------
 *
 * request.h
 *	  The request that a decoded transaction serves, see request.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_REQUEST_H
#define DERIVE_CHANGE_REQUEST_H

#include "base/request_id.h"
#include "replication/reorderbuffer.h"

typedef struct RequestId
{
	Size len; /* 0: none */
	char text[DERIVE_REQUEST_ID_MAX + 1];
} RequestId;

/* Takes the id out of a message; leaves what is none alone. */
extern void derive_request_read(RequestId *request, const char *content, Size len);

/*
 * Before a transaction's changes are decoded: looks for the message at its end.  Returns
 * false if that may be on disk.
 */
extern bool derive_request_find(ReorderBufferTXN *txn, RequestId *request);

#endif /* DERIVE_CHANGE_REQUEST_H */
