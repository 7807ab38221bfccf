/*-------------------------------------------------------------------------
 *
 * wire.h
 *	  Records of the change stream as bytes, see wire.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_WIRE_H
#define DERIVE_CHANGE_WIRE_H

#include "change/record.h"

/* Records on their way; data is MAXALIGNed and so is the length of each record. */
typedef struct WireBuffer
{
	char *data;
	Size len;
	Size room;
	MemoryContext context;
} WireBuffer;

extern void derive_wire_init(WireBuffer *buffer, MemoryContext context);
extern void
derive_wire_reset(WireBuffer *buffer); /* empties it, gives back excess memory */

/* Appends room for whole records, len bytes of them, and returns it. */
extern void *derive_wire_reserve(WireBuffer *buffer, Size len);

/* Each appends one record. */
extern void derive_wire_put_hello(WireBuffer *buffer, XLogRecPtr lsn, bool slot_created);
extern void
derive_wire_put_begin(WireBuffer *buffer, TransactionId xid, XLogRecPtr commit_lsn,
					  XLogRecPtr end_lsn, TimestampTz commit_time);
extern void
derive_wire_put_commit(WireBuffer *buffer, TransactionId xid, XLogRecPtr commit_lsn,
					   XLogRecPtr end_lsn, TimestampTz commit_time);
extern void derive_wire_put_layout(WireBuffer *buffer, const RowLayout *layout);
extern void derive_wire_put_change(WireBuffer *buffer, const RowLayout *layout,
								   MinimalTuple old_row, MinimalTuple new_row);
extern void derive_wire_put_truncate(WireBuffer *buffer, Oid source);
extern void
derive_wire_put_lost(WireBuffer *buffer, Oid source, bool keys_only, const char *reason);
extern void derive_wire_put_message(WireBuffer *buffer, const char *prefix,
									const char *content, Size content_len);
extern void derive_wire_put_progress(WireBuffer *buffer, XLogRecPtr lsn, uint64 request,
									 uint32 interest_version);

/* Returns the length of the record at data. */
extern Size derive_wire_length(const char *data);

/*
 * Reads the record at data, which must be MAXALIGNed; what record points to stays
 * inside data.  layout_id is set for CHANGE, whose layout the caller must supply.
 */
extern void derive_wire_get(const char *data, StreamRecord *record, uint32 *layout_id);

/* Makes a layout out of a LAYOUT record, in CurrentMemoryContext. */
extern RowLayout *derive_wire_get_layout(const char *data);

#endif /* DERIVE_CHANGE_WIRE_H */
