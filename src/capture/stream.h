/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  The applier's end of the change stream: start a decoder, read records.
 *
 * The applier owns a dynamic shared memory segment with a queue; the decoder, a
 * background worker of its own, writes records into it in commit order.  A
 * source transaction is BEGIN, any number of CHANGE / TRUNCATE / LOST / MESSAGE,
 * COMMIT.  Transactions without anything of interest are not sent at all.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_STREAM_H
#define DERIVE_CAPTURE_STREAM_H

#include "change/record.h"
#include "shared/pipeline.h"

typedef struct ChangeStream ChangeStream;

/*
 * Starts a decoder for the pipeline and returns at once; the first record is
 * HELLO, which can take long (the creation of a slot waits for all open
 * transactions).  Decoding starts at start_lsn or at the slot's confirmed
 * position, whichever is later.  interest: list of InterestItem.  secret: of
 * DERIVE_SECRET_LEN bytes.  ereports if no worker can be had.  Allocates in a context of its
 * own below TopMemoryContext.
 */
extern ChangeStream *
derive_stream_start(Pipeline *pipeline, XLogRecPtr start_lsn, List *interest,
					uint32 interest_version, const uint8 *secret);

/* Stops the decoder, waits until it is gone, frees everything. */
extern void derive_stream_stop(ChangeStream *stream);

/*
 * Fetches the next record.  Returns false if there is none (only when !wait).
 * The record and what it points to stay valid until the next call of this function
 * or of derive_stream_peek.  ereports (ERROR), with the decoder's own message, when
 * the decoder is gone.  With wait, interrupts are serviced.
 */
extern bool derive_stream_next(ChangeStream *stream, StreamRecord *record, bool wait);

/* True if derive_stream_next(…, false) would deliver a record; wakes nobody. */
extern bool derive_stream_peek(ChangeStream *stream, StreamRecord *record);

/* Rebuilds a record from bytes that were kept; raw must be MAXALIGNed. */
extern void derive_stream_decode(ChangeStream *stream, const char *raw, Size raw_len,
								 StreamRecord *record);

/* Asks for a PROGRESS record once WAL up to target has been decoded; returns its number. */
extern uint64 derive_stream_request(ChangeStream *stream, XLogRecPtr target);

/* Replaces the set of relations and columns; in force when a PROGRESS record says so. */
extern void
derive_stream_set_interest(ChangeStream *stream, List *interest, uint32 version);

/* Lets the decoder confirm the slot up to lsn. */
extern void derive_stream_confirm(ChangeStream *stream, XLogRecPtr lsn);

/* Name of the slot of a database: "pg_derive_<oid>"; palloc'd. */
extern char *derive_stream_slot_name(Oid dboid);

/* What there is to know of that slot; also in the launcher. */
typedef struct SlotState
{
	bool exists;	  /* and is ours */
	const char *lost; /* why the server has invalidated it, or NULL */
	bool synced;	  /* copied from the primary while this server was a standby */
	XLogRecPtr confirmed_lsn;
} SlotState;

extern void derive_stream_slot_state(Oid dboid, SlotState *state);

/* Drops that slot if it exists and is ours, waiting for a decoder that is about to end. */
extern void derive_stream_slot_drop(Oid dboid);

/* Drops slots that nobody reads and that retain more than pg_derive.max_retained_wal. */
extern void derive_stream_shed_idle(void);

#endif /* DERIVE_CAPTURE_STREAM_H */
