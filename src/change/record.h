/*-------------------------------------------------------------------------
 *
 * record.h
 *	  One record of the change stream, as the applier sees it.
 *
 * wire.c turns records into bytes and back.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_RECORD_H
#define DERIVE_CHANGE_RECORD_H

#include "access/htup.h"
#include "access/xlogdefs.h"
#include "change/layout.h"
#include "datatype/timestamp.h"

typedef enum StreamKind
{
	STREAM_HELLO, /* first record: the slot is there, decoding starts */
	STREAM_BEGIN,
	STREAM_CHANGE,	 /* one row inserted, updated or deleted */
	STREAM_TRUNCATE, /* source was truncated */
	STREAM_LOST,	 /* a change of source could not be captured (no old row: replica
								 * identity; unchanged TOAST not at hand ...): recompute */
	STREAM_MESSAGE,	 /* logical message of our own, see message.h */
	STREAM_COMMIT,
	STREAM_PROGRESS, /* answer to derive_stream_request */
	STREAM_LAYOUT	 /* within the stream only; never handed out */
} StreamKind;

typedef struct StreamRecord
{
	StreamKind kind;

	/* HELLO */
	bool slot_created; /* no slot was there: what happened before is unknown */

	/* BEGIN, COMMIT */
	TransactionId xid;	   /* top-level */
	XLogRecPtr commit_lsn; /* start of the commit record */
	XLogRecPtr end_lsn;	   /* end of the commit record */
	TimestampTz commit_time;

	/*
	 * PROGRESS; HELLO: lsn only.  Every commit record that starts before lsn has been
	 * sent.  A mark also answers that every commit that ends at or before the target
	 * has been sent; its lsn can lie below the target, when that is inside a record.
	 */
	XLogRecPtr lsn;
	uint64 request;			 /* number that derive_stream_request returned */
	uint32 interest_version; /* every commit record at or behind lsn is filtered by
									 * this interest or a later one */

	/* CHANGE, TRUNCATE, LOST */
	const RowLayout *layout; /* CHANGE; lives as long as the stream */
	Oid source;
	bool keys_only;		  /* CHANGE, LOST: what views get that take keys */
	const char *reason;	  /* LOST: why, as the end of a sentence about the source */
	MinimalTuple old_row; /* NULL: insert; of keys: or the key is as it was */
	MinimalTuple new_row; /* NULL: delete */

	/* MESSAGE */
	const char *prefix;
	const char *content;
	Size content_len;

	/* the record's bytes, for those who must keep it (deferred transactions) */
	const char *raw;
	Size raw_len;
} StreamRecord;

#endif /* DERIVE_CHANGE_RECORD_H */
