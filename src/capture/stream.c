/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  The applier's end of the change stream.
 *
 * The applier makes a dynamic shared memory segment with a StreamSegment and a
 * queue, and starts a decoder on it.  Messages of the queue hold several records;
 * they are read where they lie in the ring, if they do not wrap around its end.
 *
 * Ends.  If the applier detaches, at its exit or in derive_stream_stop, a callback
 * tells the decoder and asks the postmaster to terminate it, wherever it waits.  If the
 * decoder detaches, the queue is drained and then reports it; the reason lies in
 * the segment.  Neither can wait for the other for ever: a queue wakes its reader or
 * writer when the other end detaches, and knows the worker's handle before it attaches.
 *
 * An interest stays in a segment of its own until a mark says that the decoder has
 * copied it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/stream.h"

#include "base/lsn.h"
#include "capture/decoder.h"
#include "capture/interest.h"
#include "capture/queue.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define RING_SIZE (1024 * 1024)

/* An interest that the decoder may still have to read. */
typedef struct PublishedInterest
{
	uint32 version;
	dsm_segment *dsm;
} PublishedInterest;

struct ChangeStream
{
	MemoryContext context;
	Pipeline *pipeline;
	dsm_segment *dsm;
	StreamSegment *segment;
	shm_mq_handle *queue;
	BackgroundWorkerHandle *worker;
	List *interests; /* of PublishedInterest, oldest first */

	const char *message; /* the message being read */
	Size message_len;
	Size position; /* of the next record in it */

	const RowLayout **layouts; /* [nlayouts], by id */
	uint32 nlayouts;
};

/* ---------- start and stop ---------- */

/* Tells the decoder that the applier is no more; runs when the segment is detached. */
static void
applier_detaches(dsm_segment *dsm, Datum arg)
{
	ChangeStream *stream = (ChangeStream *) DatumGetPointer(arg);

	stream->segment->applier_gone = true;
	if (stream->worker)
		TerminateBackgroundWorker(stream->worker);
	derive_pipeline_wake_decoder(stream->pipeline);
}

/* Makes the segment and its queue. */
static void
make_segment(ChangeStream *stream, XLogRecPtr start_lsn, const uint8 *secret)
{
	Pipeline *pipeline = stream->pipeline;
	StreamSegment *segment;
	shm_mq *mq;

	stream->dsm = dsm_create(MAXALIGN(sizeof(StreamSegment)) + RING_SIZE, 0);
	dsm_pin_mapping(stream->dsm);
	segment = stream->segment = dsm_segment_address(stream->dsm);
	memset(segment, 0, sizeof(StreamSegment));
	segment->dboid = pipeline->dboid;
	segment->pipeline = pipeline - derive_shared->pipelines;
	segment->start_lsn = start_lsn;
	segment->first_request = pg_atomic_read_u64(&pipeline->target_request);
	memcpy(segment->secret, secret, DERIVE_SECRET_LEN);
	segment->interest_handle = DSM_HANDLE_INVALID;
	SpinLockInit(&segment->mutex);
	mq = shm_mq_create(STREAM_QUEUE(segment), RING_SIZE);
	shm_mq_set_receiver(mq, MyProc);
	on_dsm_detach(stream->dsm, applier_detaches, PointerGetDatum(stream));
	pg_atomic_write_u64(&pipeline->target_lsn, 0);
	pg_atomic_write_u64(&pipeline->confirm_lsn, 0);
}

/* Registers the decoder with the postmaster; throws if there is no room for it. */
static void
start_worker(ChangeStream *stream)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "pg_derive", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, DERIVE_DECODER_FUNCTION, BGW_MAXLEN);
	strlcpy(worker.bgw_type, DERIVE_DECODER_TYPE, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s of database %u", DERIVE_DECODER_TYPE,
			 stream->pipeline->dboid);
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(stream->dsm));
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &stream->worker))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("no background worker is free for the decoder of pg_derive"),
			 errhint(
				 "Raise max_worker_processes in postgresql.conf and restart the server.")));
}

/* Gives back what a stream holds, the worker excepted. */
static void
free_stream(ChangeStream *stream)
{
	ListCell *lc;

	foreach (lc, stream->interests)
		dsm_detach(((PublishedInterest *) lfirst(lc))->dsm);
	if (stream->dsm)
		dsm_detach(stream->dsm);
	MemoryContextDelete(stream->context);
}

ChangeStream *
derive_stream_start(Pipeline *pipeline, XLogRecPtr start_lsn, List *interest,
					uint32 interest_version, const uint8 *secret)
{
	MemoryContext context = AllocSetContextCreate(
		TopMemoryContext, "pg_derive change stream", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ChangeStream *stream = palloc0(sizeof(ChangeStream));

	stream->context = context;
	stream->pipeline = pipeline;
	PG_TRY();
	{
		make_segment(stream, start_lsn, secret);
		derive_stream_set_interest(stream, interest, interest_version);
		start_worker(stream);
		stream->queue = shm_mq_attach(STREAM_QUEUE(stream->segment), stream->dsm,
									  stream->worker);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		free_stream(stream);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return stream;
}

void
derive_stream_stop(ChangeStream *stream)
{
	TerminateBackgroundWorker(stream->worker);
	stream->segment->applier_gone = true;
	derive_pipeline_wake_decoder(stream->pipeline);
	WaitForBackgroundWorkerShutdown(stream->worker);
	free_stream(stream);
}

/* ---------- interest ---------- */

void
derive_stream_set_interest(ChangeStream *stream, List *interest, uint32 version)
{
	StringInfoData bytes;
	PublishedInterest *published;
	MemoryContext old = MemoryContextSwitchTo(stream->context);

	initStringInfo(&bytes);
	derive_interest_write(&bytes, interest);
	published = palloc(sizeof(PublishedInterest));
	published->version = version;
	published->dsm = dsm_create(bytes.len, 0);
	dsm_pin_mapping(published->dsm);
	memcpy(dsm_segment_address(published->dsm), bytes.data, bytes.len);
	pfree(bytes.data);
	stream->interests = lappend(stream->interests, published);
	MemoryContextSwitchTo(old);

	SpinLockAcquire(&stream->segment->mutex);
	stream->segment->interest_version = version;
	stream->segment->interest_handle = dsm_segment_handle(published->dsm);
	SpinLockRelease(&stream->segment->mutex);
	derive_pipeline_wake_decoder(stream->pipeline);
}

/* Gives back the interests up to one that the decoder has copied. */
static void
release_interests(ChangeStream *stream, uint32 version)
{
	ListCell *lc;
	int nreleasable = 0;

	foreach (lc, stream->interests)
		if (((PublishedInterest *) lfirst(lc))->version == version)
			nreleasable = foreach_current_index(lc) + 1;
	while (nreleasable-- > 0)
	{
		PublishedInterest *published = linitial(stream->interests);

		dsm_detach(published->dsm);
		stream->interests = list_delete_first(stream->interests);
		pfree(published);
	}
}

/* ---------- records ---------- */

/* Throws with the decoder's last words. */
static void
report_end(ChangeStream *stream)
{
	StreamSegment *segment = stream->segment;

	if (segment->sqlstate == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE), errmsg("the decoder has ended"),
				 errhint("See the server's log for the reason.")));
	pg_read_barrier();
	ereport(ERROR, (errcode(segment->sqlstate), errmsg("%s", segment->message),
					segment->detail[0] ? errdetail("%s", segment->detail) : 0,
					segment->hint[0] ? errhint("%s", segment->hint) : 0,
					errcontext("decoder of pg_derive")));
}

/* Makes the next message current; returns false if there is none (only when !wait). */
static bool
fetch_message(ChangeStream *stream, bool wait)
{
	void *data;
	Size len;
	shm_mq_result result = shm_mq_receive(stream->queue, &len, &data, !wait);

	stream->message = NULL;
	stream->message_len = stream->position = 0;
	if (result == SHM_MQ_WOULD_BLOCK)
		return false;
	if (result == SHM_MQ_DETACHED)
		report_end(stream);
	stream->message = data;
	stream->message_len = len;
	return true;
}

/* Keeps a layout that the decoder has sent. */
static void
add_layout(ChangeStream *stream, const char *raw)
{
	MemoryContext old = MemoryContextSwitchTo(stream->context);
	RowLayout *layout = derive_wire_get_layout(raw);

	if (layout->id >= stream->nlayouts)
	{
		uint32 n = Max(layout->id + 1, stream->nlayouts * 2);

		stream->layouts = stream->layouts
							  ? repalloc(stream->layouts, sizeof(RowLayout *) * n)
							  : palloc(sizeof(RowLayout *) * n);
		memset(stream->layouts + stream->nlayouts, 0,
			   sizeof(RowLayout *) * (n - stream->nlayouts));
		stream->nlayouts = n;
	}
	stream->layouts[layout->id] = layout;
	MemoryContextSwitchTo(old);
}

void
derive_stream_decode(ChangeStream *stream, const char *raw, Size raw_len,
					 StreamRecord *record)
{
	uint32 layout_id;

	derive_wire_get(raw, record, &layout_id);
	if (record->raw_len != raw_len)
		elog(ERROR, "record of the change stream has %zu bytes instead of %zu", raw_len,
			 record->raw_len);
	if (record->kind != STREAM_CHANGE)
		return;
	if (layout_id >= stream->nlayouts || stream->layouts[layout_id] == NULL)
		elog(ERROR, "change stream has no layout %u", layout_id);
	record->layout = stream->layouts[layout_id];
}

bool
derive_stream_peek(ChangeStream *stream, StreamRecord *record)
{
	for (;;)
	{
		const char *raw;

		if (stream->position >= stream->message_len && !fetch_message(stream, false))
			return false;
		raw = stream->message + stream->position;
		derive_stream_decode(stream, raw, derive_wire_length(raw), record);
		if (record->kind != STREAM_LAYOUT)
			return true;
		add_layout(stream, raw);
		stream->position += record->raw_len;
	}
}

bool
derive_stream_next(ChangeStream *stream, StreamRecord *record, bool wait)
{
	while (!derive_stream_peek(stream, record))
	{
		if (!wait)
			return false;
		fetch_message(stream, true);
	}
	stream->position += record->raw_len;
	if (record->kind == STREAM_PROGRESS)
		release_interests(stream, record->interest_version);
	return true;
}

/* ---------- wishes ---------- */

uint64
derive_stream_request(ChangeStream *stream, XLogRecPtr target)
{
	Pipeline *pipeline = stream->pipeline;
	uint64 request;

	pg_atomic_write_u64(&pipeline->target_lsn, derive_lsn_reachable(target));
	request = pg_atomic_add_fetch_u64(&pipeline->target_request, 1);
	derive_pipeline_wake_decoder(pipeline);
	return request;
}

void
derive_stream_confirm(ChangeStream *stream, XLogRecPtr lsn)
{
	derive_atomic_raise(&stream->pipeline->confirm_lsn, lsn);
	derive_pipeline_wake_decoder(stream->pipeline);
}
