/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  The shared segment of a stream, and the decoder's end of its queue.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_QUEUE_H
#define DERIVE_CAPTURE_QUEUE_H

#include "catalog/outbox_catalog.h"
#include "change/wire.h"
#include "shared/pipeline.h"
#include "storage/dsm.h"
#include "storage/shm_mq.h"
#include "storage/spin.h"

#define STREAM_TEXT_LEN 512

/*
 * Head of the segment that the applier makes; the queue follows it.  What is set
 * before the decoder starts and never changes needs no lock.
 */
typedef struct StreamSegment
{
	/* constant */
	Oid dboid;
	int pipeline; /* index into DeriveShared->pipelines */
	XLogRecPtr start_lsn;
	uint64 first_request;			 /* requests up to this one are of earlier streams */
	uint8 secret[DERIVE_SECRET_LEN]; /* by which our messages in the log are known */

	/* one writer, read without a lock */
	volatile bool applier_gone; /* set when the applier detaches */

	slock_t mutex;
	/* mutex */
	uint32 interest_version;
	dsm_handle interest_handle;

	/* the decoder's last words, written before it detaches; sqlstate 0: none */
	int sqlstate;
	char message[STREAM_TEXT_LEN];
	char detail[STREAM_TEXT_LEN];
	char hint[STREAM_TEXT_LEN];
} StreamSegment;

#define STREAM_QUEUE(segment) \
	((shm_mq *) ((char *) (segment) + MAXALIGN(sizeof(StreamSegment))))

/* The sending end.  full is called again and again while the ring is full; it sleeps. */
typedef struct DecoderQueue
{
	WireBuffer buffer; /* records not sent yet */
	int waited;		   /* transactions since the first COMMIT that waits; 0: none does */
	shm_mq_handle *handle;
	Pipeline *pipeline;
	void (*full)(void);
} DecoderQueue;

extern DecoderQueue *derive_queue_attach(shm_mq_handle *handle, Pipeline *pipeline,
										 void (*full)(void), MemoryContext context);
extern void
derive_queue_full(DecoderQueue *queue); /* after each record: sends a full buffer */
extern void
derive_queue_flush(DecoderQueue *queue); /* sends what there is, wakes the applier */
extern void derive_queue_transaction(DecoderQueue *queue, bool sent);
extern void derive_queue_flush_commits(DecoderQueue *queue); /* sends if a COMMIT waits */

#endif /* DERIVE_CAPTURE_QUEUE_H */
