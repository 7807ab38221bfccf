/*-------------------------------------------------------------------------
 *
 * external_messages.h
 *	  Messages to a consumer outside, see external_messages.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_EXTERNAL_MESSAGES_H
#define DERIVE_CAPTURE_EXTERNAL_MESSAGES_H

#include "lib/stringinfo.h"
#include "replication/logical.h"

/*
 * Opens a message and returns the buffer to append it to; last: no other one follows at the
 * same position.
 */
extern StringInfo derive_external_message_open(LogicalDecodingContext *ctx, bool last);

/* Sends what has been appended. */
extern void derive_external_message_close(LogicalDecodingContext *ctx, bool last);

#endif /* DERIVE_CAPTURE_EXTERNAL_MESSAGES_H */
