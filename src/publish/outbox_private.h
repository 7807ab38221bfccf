/*-------------------------------------------------------------------------
 *
 * outbox_private.h
 *	  What the files about outboxes share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_OUTBOX_PRIVATE_H
#define DERIVE_PUBLISH_OUTBOX_PRIVATE_H

#include "catalog/outbox_catalog.h"
#include "executor/spi.h"
#include "maintain/delta.h"
#include "publish/event_log.h"
#include "publish/outbox.h"

/* The names by which statements read what there is to write. */
#define LOG_NAME "outbox_log"
#define DELTA_NAME "outbox_delta"

/* Statements whose plans are kept. */
typedef enum OutboxPlan
{
	PLAN_WRITE,		/* the log into the table */
	PLAN_WRITE_IDS, /* the same, but for callers' ids that the table has */
	PLAN_WRITE_RAW, /* the same, without the user's expressions */
	PLAN_WRITE_GAP, /* the same, with nothing of the change: as what is lost */
	PLAN_READ_VIEW, /* a view's delta as pairs of rows */
	OUTBOX_PLANS
} OutboxPlan;

typedef struct Outbox
{
	CatalogOutbox row;
	Oid owner;
	List *source_key; /* attnos of a view's key, or of a table's primary key */
	EventLog *log;
	SPIPlanPtr plans[OUTBOX_PLANS];
	XLogRecPtr cursor; /* has all commits that start before this */
	bool usable;	   /* this tick: its relations are locked and nothing keeps it back */
	bool changed;	   /* row's progress must be stored */
	bool patient;	   /* an error that may be over soon is still waited for */
	int64 look_at_partitions; /* not before this, as by derive_clock_ms */
} Outbox;

/* outbox_sql.c */

/*
 * Return statements over LOG_NAME and DELTA_NAME; key: attnos of the source's, which is that
 * of events for which no expression says another.
 */
extern char *
derive_outbox_write_sql(const CatalogOutbox *row, List *key, OutboxPlan which);
extern char *derive_outbox_view_sql(const CatalogOutbox *row, List *key);

/* outbox_write.c */

/*
 * Writes what an outbox's log and, for one over a view, the view's delta hold; and the
 * changed progress.  lsn: the tick's.  Returns the number of events.
 */
extern int64 derive_outbox_write(Outbox *outbox, SourceDelta *delta, XLogRecPtr lsn);

/* Frees the plans of an outbox. */
extern void derive_outbox_forget_plans(Outbox *outbox);

/* partitions.c */

/* Begins partitions and drops old ones if it is time and nobody reads; never throws. */
extern void derive_partitions_keep(Outbox *outbox);

#endif /* DERIVE_PUBLISH_OUTBOX_PRIVATE_H */
