/*-------------------------------------------------------------------------
 *
 * event_log.h
 *	  What an outbox is to be told in one tick, in order, see event_log.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_EVENT_LOG_H
#define DERIVE_PUBLISH_EVENT_LOG_H

#include "executor/tuptable.h"
#include "maintain/batch.h"
#include "publish/emission.h"
#include "utils/hsearch.h"
#include "utils/tuplestore.h"

/*
 * Columns of a log's rows.  All but those that expressions are meant to see have names
 * that nobody writes by accident.
 */
typedef enum EventColumn
{
	EVENT_LSN,	   /* "$lsn" pg_lsn of the commit */
	EVENT_ORDINAL, /* "$ordinal" bigint: in this log, in its transaction, from 1 */
	EVENT_XID,	   /* "$xid" bigint, or NULL */
	EVENT_TIME,	   /* "$at" timestamptz of the commit */
	EVENT_REQUEST, /* "$request" text: request id, or NULL */
	EVENT_TOPIC,   /* "$topic", "$key", "$payload" text: of an emission */
	EVENT_KEY,
	EVENT_PAYLOAD,
	EVENT_ID,  /* "$id" uuid: of an emission, or NULL */
	EVENT_OP,  /* "op" text: insert, update, delete, truncate, gap, message */
	EVENT_OLD, /* "old", "new": rows of the source; only if there is one */
	EVENT_NEW,
	EVENT_COLUMNS
} EventColumn;

typedef struct EventLog
{
	MemoryContext context;
	TupleDesc row_desc; /* of the source's rows, or NULL */
	TupleDesc desc;
	Tuplestorestate *rows; /* NULL until the first one of this tick */
	int64 nrows;
	HTAB *ids;				/* of callers, in this tick; NULL: none */
	XLogRecPtr transaction; /* commit LSN of the last row's transaction */
	int64 ordinal;			/* in it */
} EventLog;

/*
 * Makes a log in a new context under parent.  source: the relation whose changes it is
 * to hold, which the caller has locked, or InvalidOid.
 */
extern EventLog *derive_event_log_make(MemoryContext parent, Oid source);
extern void derive_event_log_free(EventLog *log);

/* Adds a change of the source, or that one is lost; request: a request id, or NULL. */
extern void derive_event_log_add_change(EventLog *log, const Origin *origin,
										const char *request, const StreamRecord *record);

/* Adds a change of a derived view; old, new: rows of it, or 0. */
extern void
derive_event_log_add_rows(EventLog *log, const Origin *origin, Datum old, Datum new);

/* Adds that changes are lost. */
extern void derive_event_log_add_gap(EventLog *log, const Origin *origin);

/* Adds an emission; one whose id the log has already is left out. */
extern void derive_event_log_add_emission(EventLog *log, const Origin *origin,
										  const char *request, const Emission *emission);

/*
 * Moves up to n rows, from where the last call ended, into a new tuplestore; NULL if there
 * are no more.
 */
extern Tuplestorestate *derive_event_log_slice(EventLog *log, int64 n, int64 *got);

/* End of a tick: frees the rows. */
extern void derive_event_log_reset(EventLog *log);

#endif /* DERIVE_PUBLISH_EVENT_LOG_H */
