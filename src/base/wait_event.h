/*-------------------------------------------------------------------------
 *
 * wait_event.h
 *	  What our processes and callers wait for, as pg_stat_activity names it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_WAIT_EVENT_H
#define DERIVE_BASE_WAIT_EVENT_H

typedef enum DeriveWaitEvent
{
	WAIT_APPLIER_MAIN,	  /* the applier has nothing to do */
	WAIT_DATABASE_HOLD,	  /* DROP DATABASE & co: for the database's workers to end */
	WAIT_DECODER_MAIN,	  /* the decoder has read all that is on disk */
	WAIT_DECODER_PEER,	  /* the decoder waits for the applier */
	WAIT_EVENTS,		  /* derive.fetch: for events */
	WAIT_LAUNCHER_MAIN,	  /* the launcher has nothing to do */
	WAIT_PIPELINE,		  /* derive.create_outbox: for a pipeline that starts */
	WAIT_PROCESSOR_MAIN,  /* the worker of processors has nothing to do */
	WAIT_VERIFY_FRONTIER, /* derive.verify: for a tick */
	WAIT_VIEWS			  /* derive.wait: for a tick */
} DeriveWaitEvent;

extern uint32 derive_wait_event(DeriveWaitEvent event);

#endif /* DERIVE_BASE_WAIT_EVENT_H */
