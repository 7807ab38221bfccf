/*-------------------------------------------------------------------------
 *
 * view_sources.c
 *	  The relations that a pipeline's views read, and their deltas.
 *
 * Views that read one relation share its delta, which has the columns that they
 * need together.  The sources are collected anew at each reload of the view set, in
 * its transaction; one whose columns, names and types are as before keeps its
 * generation, and with it the kept plans over its delta.  Sources that are views
 * themselves have no part in the decoder's interest: what changes in them is known.
 *
 * Runs in the applier.  The descriptions lie in a context that is replaced as a
 * whole; deltas are made for one tick, in CurrentMemoryContext.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "maintain/view_set.h"

#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* Finds the SourceInfo of a relation, in one of its forms, in a list. */
static SourceInfo *
find_source(List *sources, Oid relid, bool only, bool keys_only)
{
	ListCell *lc;

	foreach (lc, sources)
	{
		SourceInfo *source = lfirst(lc);

		if (source->relid == relid && source->only == only &&
			source->keys_only == keys_only)
			return source;
	}
	return NULL;
}

/* Completes a SourceInfo from its relation's descriptor, in CurrentMemoryContext. */
static void
describe_source(SourceInfo *source, Relation rel)
{
	int attnum = -1;

	if (source->derived)
		for (int i = 1; i <= RelationGetNumberOfAttributes(rel); i++)
			if (!TupleDescAttr(RelationGetDescr(rel), i - 1)->attisdropped)
				source->columns = bms_add_member(source->columns, i);
	source->attnums = palloc(sizeof(AttrNumber) * (bms_num_members(source->columns) + 1));
	source->ncolumns = 0;
	while ((attnum = bms_next_member(source->columns, attnum)) >= 0)
		source->attnums[source->ncolumns++] = attnum;
	source->desc = derive_layout_make_desc(RelationGetDescr(rel), source->ncolumns,
										   source->attnums);
}

/*
 * Completes a SourceInfo from what was known before, because its relation is locked or
 * gone.  Views that were planned now hold its lock, so no column can be missing.
 */
static void
copy_source(SourceInfo *source, SourceInfo *before)
{
	source->columns = bms_copy(before->columns);
	source->ncolumns = before->ncolumns;
	source->attnums = palloc(sizeof(AttrNumber) * (before->ncolumns + 1));
	memcpy(source->attnums, before->attnums, sizeof(AttrNumber) * before->ncolumns);
	source->desc = CreateTupleDescCopy(before->desc);
}

/*
 * Completes a SourceInfo as its relation is now, or as it was before.  What is not known
 * from before and yet is not locked is a view that only an outbox reads: its columns stay.
 * Returns false if that is gone.
 */
static bool
complete_source(SourceInfo *source, SourceInfo *before)
{
	bool locked = derive_view_set_lock_now(source->relid, AccessShareLock);
	Relation rel;

	if (!locked && before != NULL)
	{
		copy_source(source, before);
		return true;
	}
	rel = RelationIdGetRelation(source->relid);
	if (!RelationIsValid(rel))
		return false;
	describe_source(source, rel);
	RelationClose(rel);
	return true;
}

/* Says whether two sources have the same columns, names and types. */
static bool
same_source(SourceInfo *a, SourceInfo *b)
{
	return a->sampled == b->sampled && bms_equal(a->columns, b->columns) &&
		   equalTupleDescs(a->desc, b->desc);
}

/* Returns the sources that views read or that views with outboxes are, to be completed. */
static List *
needed_sources(ViewSet *set)
{
	List *sources = NIL;
	ListCell *lc, *ls;

	foreach (lc, set->views)
	{
		LiveView *view = lfirst(lc);

		if (view->runner == NULL)
			continue;
		foreach (ls, derive_runner_plan(view->runner)->sources)
		{
			PlanSource *needed = lfirst(ls);
			SourceInfo *source = find_source(sources, needed->relid, needed->only,
											 needed->keys_only);

			if (source == NULL)
			{
				source = palloc0(sizeof(SourceInfo));
				source->relid = needed->relid;
				source->only = needed->only;
				source->keys_only = needed->keys_only;
				source->derived = derive_view_set_find(set, needed->relid) != NULL;
				sources = lappend(sources, source);
			}
			source->columns = bms_add_members(source->columns, needed->columns);
			source->sampled |= needed->sampled;
		}
	}
	foreach (lc, set->published)
		if (find_source(sources, lfirst_oid(lc), false, false) == NULL &&
			derive_view_set_find(set, lfirst_oid(lc)) != NULL)
		{
			SourceInfo *source = palloc0(sizeof(SourceInfo));

			source->relid = lfirst_oid(lc);
			source->derived = true;
			sources = lappend(sources, source);
		}
	return sources;
}

bool
derive_view_set_collect_sources(ViewSet *set)
{
	MemoryContext context = AllocSetContextCreate(set->context, "pg_derive sources",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	List *sources = needed_sources(set);
	bool changed = false;
	ListCell *lc;

	foreach (lc, sources)
	{
		SourceInfo *source = lfirst(lc);
		SourceInfo *before = find_source(set->sources, source->relid, source->only,
										 source->keys_only);

		if (!complete_source(source, before))
		{
			sources = foreach_delete_current(sources, lc);
			continue;
		}
		if (before != NULL && same_source(before, source))
			source->generation = before->generation;
		else
		{
			source->generation = ++set->generation;
			changed |= !source->derived;
		}
	}
	changed |= list_length(sources) < list_length(set->sources);
	MemoryContextSwitchTo(old);
	if (set->source_context != NULL)
		MemoryContextDelete(set->source_context);
	set->source_context = context;
	set->sources = sources;
	return changed;
}

/* Returns the item of a relation in an interest, adding an empty one if need be. */
static InterestItem *
interest_item(List **interest, Oid relid)
{
	InterestItem *item;
	ListCell *lc;

	foreach (lc, *interest)
		if (((InterestItem *) lfirst(lc))->source == relid)
			return lfirst(lc);
	item = palloc0(sizeof(InterestItem));
	item->source = relid;
	*interest = lappend(*interest, item);
	return item;
}

List *
derive_view_set_interest(ViewSet *set)
{
	List *result = NIL;
	ListCell *lc;

	foreach (lc, set->sources)
	{
		SourceInfo *source = lfirst(lc);

		if (!source->derived)
		{
			InterestItem *item = interest_item(&result, source->relid);

			if (source->keys_only)
				item->keys = bms_add_members(item->keys, source->columns);
			else
				item->columns = bms_add_members(item->columns, source->columns);
			item->rows |= !source->keys_only;
			item->moves |= source->sampled;
		}
	}
	foreach (lc, set->published)
		if (derive_view_set_find(set, lfirst_oid(lc)) == NULL)
			interest_item(&result, lfirst_oid(lc))->every = true;
	return result;
}

/* Makes an empty delta for a source, in CurrentMemoryContext. */
static SourceDelta *
make_delta(SourceInfo *source)
{
	SourceDelta *delta = palloc0(sizeof(SourceDelta));

	delta->relid = source->relid;
	delta->only = source->only;
	delta->keys_only = source->keys_only;
	delta->sampled = source->sampled;
	delta->layout_generation = source->generation;
	delta->ncolumns = source->ncolumns;
	delta->attnums = source->attnums;
	delta->desc = source->desc;
	delta->slot = MakeSingleTupleTableSlot(source->desc, &TTSOpsVirtual);
	return delta;
}

void
derive_view_set_prepare_deltas(ViewSet *set, Cohort *cohort, bool is_main)
{
	ListCell *lc, *lv;

	cohort->deltas.sources = NIL;
	foreach (lc, set->sources)
	{
		SourceInfo *source = lfirst(lc);
		LiveView *self = derive_view_set_find(set, source->relid);
		bool wanted = self != NULL && list_member_oid(set->published, source->relid) &&
					  (self->cohort == cohort || (self->cohort == NULL && is_main));

		foreach (lv, set->views)
		{
			LiveView *view = lfirst(lv);

			wanted |= view->cohort == cohort &&
					  derive_live_view_reads(view, source->relid);
		}
		if (wanted)
			cohort->deltas.sources = lappend(cohort->deltas.sources, make_delta(source));
	}
}
