/*-------------------------------------------------------------------------
 *
 * delta.h
 *	  The deltas of one tick: for each source its signed rows.
 *
 * Lives in the applier, for one tick.  A delta is filled from the change stream
 * (src/maintain/batch.c) or, for a derived view that other views read, by that
 * view's own maintenance (src/maintain/target.c), and read by delta queries as a
 * named tuplestore.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_DELTA_H
#define DERIVE_MAINTAIN_DELTA_H

#include "change/layout.h"
#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "utils/tuplestore.h"

typedef struct SourceDelta
{
	Oid relid;
	bool only;		/* without the rows of the tables below it */
	bool keys_only; /* the rows are keys, see change/layout.h; one may come many times */
	bool sampled;	/* rows that cancel may have moved, which somebody wants to know */
	uint64 layout_generation; /* changes whenever desc does: kept plans are bound to it */
	int ncolumns;
	AttrNumber *attnums;   /* [ncolumns] of the source, ascending */
	TupleDesc desc;		   /* sign, then these columns, named as in the source */
	Tuplestorestate *rows; /* NULL until the first row of this tick */
	int64 nrows;
	bool lost; /* rows are missing (TRUNCATE, not captured ...): recompute */
	const char *lost_reason;
	TupleTableSlot *slot; /* of desc, virtual, for those who add rows */
} SourceDelta;

/* What a delta does to those of a source's columns that somebody reads. */
typedef enum DeltaEffect
{
	DELTA_NOTHING, /* all its rows cancel */
	DELTA_ARRIVES, /* rows only appear */
	DELTA_LEAVES   /* rows disappear, or too many came and went to be told apart */
} DeltaEffect;

typedef struct DeltaSet
{
	List *sources; /* of SourceDelta, one per source of any view of this cohort */
} DeltaSet;


/* Returns the delta of a relation, with what is below it or without, or its keys; NULL: none. */
extern SourceDelta *
derive_delta_find(DeltaSet *set, Oid relid, bool only, bool keys_only);

extern void
derive_delta_add_row(SourceDelta *delta, MinimalTuple row); /* row has desc's shape */

/*
 * Adds a row of the source itself (slot of the source's own descriptor), with a sign.
 * Used for derived views; desc is made of the source's columns.
 */
extern void
derive_delta_add_source_row(SourceDelta *delta, TupleTableSlot *row, int sign);
extern void derive_delta_net(SourceDelta *delta); /* cancels rows that came and went */
extern DeltaEffect derive_delta_effect(SourceDelta *delta, Bitmapset *columns);
extern void derive_delta_reset(SourceDelta *delta); /* end of tick: frees rows */

#endif /* DERIVE_MAINTAIN_DELTA_H */
