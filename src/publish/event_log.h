/*-------------------------------------------------------------------------
 *
 * event_log.h
 *	  What happened to one source in one tick, in order, see event_log.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_EVENT_LOG_H
#define DERIVE_PUBLISH_EVENT_LOG_H

#include "executor/tuptable.h"
#include "maintain/batch.h"
#include "utils/tuplestore.h"

/* Columns of a log's rows, before those of its kind. */
typedef enum EventColumn
{
	EVENT_NUMBER,  /* bigint: order within the tick */
	EVENT_LSN,	   /* pg_lsn of the commit */
	EVENT_ORDINAL, /* bigint: among the source's changes in its transaction, from 1 */
	EVENT_XID,	   /* bigint */
	EVENT_TIME,	   /* timestamptz of the commit */
	EVENT_REQUEST, /* text: request id, or NULL */
	EVENT_COLUMNS
} EventColumn;

typedef struct EventLog
{
	MemoryContext context;
	TupleDesc row_desc; /* changes: of the source's rows; else NULL */
	TupleDesc desc;
	Tuplestorestate *rows; /* NULL until the first one of this tick */
	int64 nrows;
	XLogRecPtr transaction; /* commit LSN of the last row's transaction */
	int64 ordinal;			/* in it */
} EventLog;

/*
 * Makes the log of a table's changes, with columns op, old, new, in a new context under
 * parent; the caller has locked the table.
 */
extern EventLog *derive_event_log_changes(MemoryContext parent, Oid source);

/* Makes a log of emissions, with columns topic, key, payload, id. */
extern EventLog *derive_event_log_emissions(MemoryContext parent);
extern void derive_event_log_free(EventLog *log);

/* Adds what happened; number: its place in the tick. */
extern void derive_event_log_add_change(EventLog *log, int64 number, const Origin *origin,
										const char *request, const StreamRecord *record);
extern void
derive_event_log_add_emission(EventLog *log, int64 number, const Origin *origin,
							  const char *request, const char *topic, const char *key,
							  const char *payload, const Datum *id);

/* End of a tick: frees the rows. */
extern void derive_event_log_reset(EventLog *log);

#endif /* DERIVE_PUBLISH_EVENT_LOG_H */
