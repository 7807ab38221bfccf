/*-------------------------------------------------------------------------
 *
 * external_messages.c
 *	  Messages to a consumer outside: several of them in one call of the kernel.
 *
 * A walsender's write callback puts a message into the connection's buffer and hands the
 * buffer to the kernel at once.  That call costs more than all the rest of a small message, here
 * and, since each one wakes it, at the consumer's.  So here a message is put into the buffer
 * only, as long as that has room, and goes with a later one, or when the walsender's main
 * loop flushes the buffer.  It does so after each record of the log, so before it reads the
 * next one, or waits for one: a transaction is sent when its commit has been decoded, a piece of
 * one in progress when it ends.  What stays behind is less than BATCH_SIZE of the
 * transaction being sent, for as long as its next changes take to be decoded.
 *
 * A message for which there is no room goes through the write callback, with those before it:
 * that waits for a slow consumer, reads its replies, and looks at timeouts.
 *
 * What the consumer reads is the same: the frame of each message (XLogData in the
 * documentation of the protocol) is what core has made, with the time that core would add.
 *
 * The SQL functions collect messages in a tuplestore, which has no use for this.  Core
 * frames no message for them, also if they are called over a replication connection.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/external_messages.h"

#include "libpq/pqformat.h"
#include "replication/output_plugin.h"
#include "replication/walsender.h"
#include "utils/timestamp.h"

/* The frame: 'w', position, position, and the time it is sent at. */
#define FRAME_SIZE (1 + 3 * sizeof(int64))
#define FRAME_TIME (1 + 2 * sizeof(int64))

/* The connection's buffer has 8192 bytes; some are left for messages of core's own. */
#define BATCH_SIZE 8000

/* What the connection adds to each message: a type and a length. */
#define ENVELOPE_SIZE 5

/* The message at hand goes to a walsender's connection. */
static bool framed = false;

/* What is in the connection's buffer: so much, since when, from which record of the log. */
static Size batched = 0;
static uint64 batch_time; /* bytes in the network's order */
static XLogRecPtr batch_record = InvalidXLogRecPtr;

StringInfo
derive_external_message_open(LogicalDecodingContext *ctx, bool last)
{
	OutputPluginPrepareWrite(ctx, last);
	framed = am_walsender && ctx->out->len == FRAME_SIZE && ctx->out->data[0] == 'w';
	return ctx->out;
}

/* Puts a message into the connection's buffer, which has room for it, so nothing waits here. */
static void
put_message(LogicalDecodingContext *ctx)
{
	if (batched == 0)
		batch_time = pg_hton64((uint64) GetCurrentTimestamp());
	batched += ctx->out->len + ENVELOPE_SIZE;
	memcpy(ctx->out->data + FRAME_TIME, &batch_time, sizeof(batch_time));
	ctx->out->cursor = 'd'; /* CopyData */
	pq_endmessage_reuse(ctx->out);
	ctx->prepared_write = false;
}

void
derive_external_message_close(LogicalDecodingContext *ctx, bool last)
{
	if (!framed)
	{
		OutputPluginWrite(ctx, last);
		return;
	}
	if (ctx->reader->ReadRecPtr != batch_record)
		batched = 0;
	batch_record = ctx->reader->ReadRecPtr;
	if (batched + ctx->out->len + ENVELOPE_SIZE <= BATCH_SIZE)
	{
		put_message(ctx);
		return;
	}
	OutputPluginWrite(ctx, last);
	batched = 0;
}
