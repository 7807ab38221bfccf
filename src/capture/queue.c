/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  The decoder's end of the queue.
 *
 * Records are packed into messages of about 32 kB.  A message is sent when it is
 * full, at a progress mark, and for commits: before the decoder waits for more WAL or
 * decodes a large transaction, or MAX_WAIT transactions after the first that waits.  So
 * a single commit goes out at once, and in a backlog the applier is not woken for each:
 * that would cost a sixth of the time of decoding small transactions.  A full ring makes the
 * decoder wait, and with it the reading of the log: that is the bound on the queue.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/queue.h"

#define MESSAGE_SIZE (32 * 1024)
#define MAX_WAIT 256

/* Makes the sending end, in context. */
DecoderQueue *
derive_queue_attach(shm_mq_handle *handle, Pipeline *pipeline, void (*full)(void),
					MemoryContext context)
{
	DecoderQueue *queue = MemoryContextAllocZero(context, sizeof(DecoderQueue));

	derive_wire_init(&queue->buffer, context);
	queue->handle = handle;
	queue->pipeline = pipeline;
	queue->full = full;
	return queue;
}

/* Sends the buffer as one message; waits while the ring is full. */
static void
send_buffer(DecoderQueue *queue, bool flush)
{
	shm_mq_result result;

	if (queue->buffer.len == 0)
		return;
	while ((result = shm_mq_send(queue->handle, queue->buffer.len, queue->buffer.data,
								 true, flush)) == SHM_MQ_WOULD_BLOCK)
		queue->full();
	if (result != SHM_MQ_SUCCESS)
		ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN),
						errmsg("pg_derive decoder stops because its applier has ended")));
	pg_atomic_fetch_add_u64(&queue->pipeline->queue_bytes, queue->buffer.len);
	derive_wire_reset(&queue->buffer);
}

void
derive_queue_full(DecoderQueue *queue)
{
	if (queue->buffer.len >= MESSAGE_SIZE)
		send_buffer(queue, false);
}

void
derive_queue_flush(DecoderQueue *queue)
{
	queue->waited = 0;
	send_buffer(queue, true);
}

/* To be called after each transaction; sent: its COMMIT has been put. */
void
derive_queue_transaction(DecoderQueue *queue, bool sent)
{
	if ((sent || queue->waited > 0) && ++queue->waited >= MAX_WAIT)
		derive_queue_flush(queue);
}

void
derive_queue_flush_commits(DecoderQueue *queue)
{
	if (queue->waited > 0)
		derive_queue_flush(queue);
}
