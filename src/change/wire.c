/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  Records of the change stream as bytes.
 *
 * Both ends are processes of one server, so the bytes are structs in the server's
 * own representation.  Every record starts with a WireHeader; its length and the
 * places of the rows inside it are MAXALIGNed, so that a MinimalTuple can be used
 * where it lies.  Records are packed one behind the other into one message of the
 * queue.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/wire.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "utils/memutils.h"

#define WIRE_ROOM (64 * 1024)

typedef struct WireHeader
{
	uint64 length; /* of the whole record */
	uint32 kind;   /* StreamKind */
	uint32 flags;
} WireHeader;

#define WIRE_SLOT_CREATED 0x01
#define WIRE_KEYS_ONLY 0x02

typedef struct WireHello
{
	WireHeader header;
	XLogRecPtr lsn;
} WireHello;

typedef struct WireTransaction
{
	WireHeader header;
	XLogRecPtr commit_lsn;
	XLogRecPtr end_lsn;
	TimestampTz commit_time;
	TransactionId xid;
} WireTransaction;

typedef struct WireLayout
{
	WireHeader header;
	uint32 id;
	Oid source;
	bool inherited;
	bool keys_only;
	int32 ncolumns;
	/* ncolumns + 1 attributes (fixed part) and ncolumns attnums follow */
} WireLayout;

typedef struct WireChange
{
	WireHeader header;
	uint32 layout;
	Oid source;
	uint32 old_len;
	uint32 new_len;
	/* old and new row follow */
} WireChange;

typedef struct WireSource
{
	WireHeader header;
	Oid source;
	/* LOST: reason, with its NUL, follows */
} WireSource;

typedef struct WireMessage
{
	WireHeader header;
	uint64 content_len;
	uint32 prefix_size; /* with its NUL */
						/* prefix, then content follow */
} WireMessage;

typedef struct WireProgress
{
	WireHeader header;
	XLogRecPtr lsn;
	uint64 request;
	uint32 interest_version;
} WireProgress;

/* Prepares a buffer whose memory comes from context. */
void
derive_wire_init(WireBuffer *buffer, MemoryContext context)
{
	buffer->context = context;
	buffer->room = WIRE_ROOM;
	buffer->data = MemoryContextAlloc(context, WIRE_ROOM);
	buffer->len = 0;
}

void
derive_wire_reset(WireBuffer *buffer)
{
	buffer->len = 0;
	if (buffer->room == WIRE_ROOM)
		return;
	pfree(buffer->data);
	derive_wire_init(buffer, buffer->context);
}

void *
derive_wire_reserve(WireBuffer *buffer, Size len)
{
	void *place;

	if (buffer->len + len > buffer->room)
	{
		Size room = Max(buffer->len + len, buffer->room * 2);

		buffer->data = repalloc_huge(buffer->data, room);
		buffer->room = room;
	}
	place = buffer->data + buffer->len;
	buffer->len += len;
	return place;
}

/* Appends an empty record of the given size and returns it. */
static void *
put(WireBuffer *buffer, StreamKind kind, uint32 flags, Size size)
{
	Size length = MAXALIGN(size);
	WireHeader *header = derive_wire_reserve(buffer, length);

	header->length = length;
	header->kind = kind;
	header->flags = flags;
	return header;
}

void
derive_wire_put_hello(WireBuffer *buffer, XLogRecPtr lsn, bool slot_created)
{
	WireHello *hello = put(buffer, STREAM_HELLO, slot_created ? WIRE_SLOT_CREATED : 0,
						   sizeof(WireHello));

	hello->lsn = lsn;
}

/* Appends BEGIN or COMMIT. */
static void
put_transaction(WireBuffer *buffer, StreamKind kind, TransactionId xid,
				XLogRecPtr commit_lsn, XLogRecPtr end_lsn, TimestampTz commit_time)
{
	WireTransaction *transaction = put(buffer, kind, 0, sizeof(WireTransaction));

	transaction->commit_lsn = commit_lsn;
	transaction->end_lsn = end_lsn;
	transaction->commit_time = commit_time;
	transaction->xid = xid;
}

void
derive_wire_put_begin(WireBuffer *buffer, TransactionId xid, XLogRecPtr commit_lsn,
					  XLogRecPtr end_lsn, TimestampTz commit_time)
{
	put_transaction(buffer, STREAM_BEGIN, xid, commit_lsn, end_lsn, commit_time);
}

void
derive_wire_put_commit(WireBuffer *buffer, TransactionId xid, XLogRecPtr commit_lsn,
					   XLogRecPtr end_lsn, TimestampTz commit_time)
{
	put_transaction(buffer, STREAM_COMMIT, xid, commit_lsn, end_lsn, commit_time);
}

void
derive_wire_put_layout(WireBuffer *buffer, const RowLayout *layout)
{
	Size attributes = (layout->ncolumns + 1) * ATTRIBUTE_FIXED_PART_SIZE;
	Size attnums = layout->ncolumns * sizeof(AttrNumber);
	WireLayout *wire = put(buffer, STREAM_LAYOUT, 0,
						   sizeof(WireLayout) + attributes + attnums);
	char *at = (char *) (wire + 1);

	wire->id = layout->id;
	wire->source = layout->source;
	wire->inherited = layout->inherited;
	wire->keys_only = layout->keys_only;
	wire->ncolumns = layout->ncolumns;
	for (int i = 0; i <= layout->ncolumns; i++)
	{
		memcpy(at, TupleDescAttr(layout->desc, i), ATTRIBUTE_FIXED_PART_SIZE);
		at += ATTRIBUTE_FIXED_PART_SIZE;
	}
	memcpy(at, layout->attnums, attnums);
}

void
derive_wire_put_change(WireBuffer *buffer, const RowLayout *layout, MinimalTuple old_row,
					   MinimalTuple new_row)
{
	Size old_len = old_row ? old_row->t_len : 0;
	Size new_len = new_row ? new_row->t_len : 0;
	WireChange *change = put(buffer, STREAM_CHANGE,
							 layout->keys_only ? WIRE_KEYS_ONLY : 0,
							 MAXALIGN(sizeof(WireChange)) + MAXALIGN(old_len) + new_len);
	char *at = (char *) change + MAXALIGN(sizeof(WireChange));

	change->layout = layout->id;
	change->source = layout->source;
	change->old_len = old_len;
	change->new_len = new_len;
	if (old_row)
		memcpy(at, old_row, old_len);
	if (new_row)
		memcpy(at + MAXALIGN(old_len), new_row, new_len);
}

void
derive_wire_put_truncate(WireBuffer *buffer, Oid source)
{
	WireSource *truncated = put(buffer, STREAM_TRUNCATE, 0, sizeof(WireSource));

	truncated->source = source;
}

void
derive_wire_put_lost(WireBuffer *buffer, Oid source, bool keys_only, const char *reason)
{
	Size size = strlen(reason) + 1;
	WireSource *lost = put(buffer, STREAM_LOST, keys_only ? WIRE_KEYS_ONLY : 0,
						   sizeof(WireSource) + size);

	lost->source = source;
	memcpy(lost + 1, reason, size);
}

void
derive_wire_put_message(WireBuffer *buffer, const char *prefix, const char *content,
						Size content_len)
{
	Size prefix_size = strlen(prefix) + 1;
	WireMessage *message = put(buffer, STREAM_MESSAGE, 0,
							   sizeof(WireMessage) + prefix_size + content_len);
	char *at = (char *) (message + 1);

	message->prefix_size = prefix_size;
	message->content_len = content_len;
	memcpy(at, prefix, prefix_size);
	memcpy(at + prefix_size, content, content_len);
}

void
derive_wire_put_progress(WireBuffer *buffer, XLogRecPtr lsn, uint64 request,
						 uint32 interest_version)
{
	WireProgress *progress = put(buffer, STREAM_PROGRESS, 0, sizeof(WireProgress));

	progress->lsn = lsn;
	progress->request = request;
	progress->interest_version = interest_version;
}

Size
derive_wire_length(const char *data)
{
	return ((const WireHeader *) data)->length;
}

/* Reads the rows of a change. */
static void
get_change(const WireChange *change, StreamRecord *record, uint32 *layout_id)
{
	char *at = (char *) change + MAXALIGN(sizeof(WireChange));

	*layout_id = change->layout;
	record->source = change->source;
	if (change->old_len > 0)
		record->old_row = (MinimalTuple) at;
	if (change->new_len > 0)
		record->new_row = (MinimalTuple) (at + MAXALIGN(change->old_len));
}

/* Reads what BEGIN and COMMIT say. */
static void
get_transaction(const WireTransaction *transaction, StreamRecord *record)
{
	record->xid = transaction->xid;
	record->commit_lsn = transaction->commit_lsn;
	record->end_lsn = transaction->end_lsn;
	record->commit_time = transaction->commit_time;
}

/* Reads a logical message. */
static void
get_message(const WireMessage *message, StreamRecord *record)
{
	record->prefix = (const char *) (message + 1);
	record->content = record->prefix + message->prefix_size;
	record->content_len = message->content_len;
}

/* Reads a progress mark. */
static void
get_progress(const WireProgress *progress, StreamRecord *record)
{
	record->lsn = progress->lsn;
	record->request = progress->request;
	record->interest_version = progress->interest_version;
}

void
derive_wire_get(const char *data, StreamRecord *record, uint32 *layout_id)
{
	const WireHeader *header = (const WireHeader *) data;

	memset(record, 0, sizeof(StreamRecord));
	record->kind = header->kind;
	record->raw = data;
	record->raw_len = header->length;
	record->keys_only = (header->flags & WIRE_KEYS_ONLY) != 0;
	*layout_id = 0;
	switch (record->kind)
	{
		case STREAM_HELLO:
			record->slot_created = (header->flags & WIRE_SLOT_CREATED) != 0;
			record->lsn = ((const WireHello *) data)->lsn;
			break;
		case STREAM_BEGIN:
		case STREAM_COMMIT:
			get_transaction((const WireTransaction *) data, record);
			break;
		case STREAM_CHANGE:
			get_change((const WireChange *) data, record, layout_id);
			break;
		case STREAM_LOST:
			record->reason = data + sizeof(WireSource);
			/* FALLTHROUGH */
		case STREAM_TRUNCATE:
			record->source = ((const WireSource *) data)->source;
			break;
		case STREAM_MESSAGE:
			get_message((const WireMessage *) data, record);
			break;
		case STREAM_PROGRESS:
			get_progress((const WireProgress *) data, record);
			break;
		case STREAM_LAYOUT:
			break;
	}
}

RowLayout *
derive_wire_get_layout(const char *data)
{
	const WireLayout *wire = (const WireLayout *) data;
	const char *at = (const char *) (wire + 1);
	RowLayout *layout = palloc(sizeof(RowLayout));

	layout->id = wire->id;
	layout->source = wire->source;
	layout->inherited = wire->inherited;
	layout->keys_only = wire->keys_only;
	layout->ncolumns = wire->ncolumns;
	layout->desc = CreateTemplateTupleDesc(wire->ncolumns + 1);
	for (int i = 0; i <= wire->ncolumns; i++)
	{
		memcpy(TupleDescAttr(layout->desc, i), at, ATTRIBUTE_FIXED_PART_SIZE);
		derive_compat_attribute_changed(layout->desc, i);
		at += ATTRIBUTE_FIXED_PART_SIZE;
	}
	layout->attnums = palloc(sizeof(AttrNumber) * Max(wire->ncolumns, 1));
	memcpy(layout->attnums, at, sizeof(AttrNumber) * wire->ncolumns);
	return layout;
}
