/*-------------------------------------------------------------------------
 *
 * message.h
 *	  Logical messages by which SQL functions speak to the workers through the log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_MESSAGE_H
#define DERIVE_CHANGE_MESSAGE_H

#include "base/request_id.h"		/* DERIVE_MESSAGE_REQUEST */
#include "catalog/outbox_catalog.h" /* DERIVE_SECRET_LEN */

#define DERIVE_MESSAGE_OUTBOX "pg_derive.outbox" /* an OutboxAnnouncement */
#define DERIVE_MESSAGE_EMIT "pg_derive.emit"	 /* see publish/emission.c */

/* An outbox was created; every change of its source behind this message is an event. */
typedef struct OutboxAnnouncement
{
	int64 outbox;
	Oid source; /* a table, or InvalidOid */
} OutboxAnnouncement;

/*
 * Writes a message as part of the current transaction that nobody without the secret can
 * write, and returns its place; throws if it is too long.
 */
extern XLogRecPtr derive_message_send(const char *prefix, const char *content, Size len,
									  const uint8 *secret);

/*
 * Returns the content of such a message, which top-level transaction xid has written, within
 * message, and sets *len to its length; NULL if somebody else made it.  len: of the message.
 */
extern const char *
derive_message_open(const char *prefix, TransactionId xid, const char *message, Size *len,
					const uint8 *secret);

#endif /* DERIVE_CHANGE_MESSAGE_H */
