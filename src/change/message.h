/*-------------------------------------------------------------------------
 *
 * message.h
 *	  Logical messages by which SQL functions speak to the workers through the log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_MESSAGE_H
#define DERIVE_CHANGE_MESSAGE_H

#include "base/request_id.h" /* DERIVE_MESSAGE_REQUEST */

#define DERIVE_MESSAGE_OUTBOX "pg_derive.outbox" /* an OutboxAnnouncement */
#define DERIVE_MESSAGE_EMIT "pg_derive.emit"	 /* see publish/emission.c */

/* An outbox was created; every change of its source behind this message is an event. */
typedef struct OutboxAnnouncement
{
	int64 outbox;
	Oid source; /* a table, or InvalidOid */
} OutboxAnnouncement;

#endif /* DERIVE_CHANGE_MESSAGE_H */
