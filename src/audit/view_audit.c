/*-------------------------------------------------------------------------
 *
 * view_audit.c
 *	  Comparing some keys of a view with its query, within a tick.
 *
 * At the end of a tick, before it commits, the tick's snapshot shows the sources at the new
 * frontier and the views as they were brought there: both sides of the comparison at one
 * frontier, without a look at anything that is not committed with it.  So what differs is
 * wrong, however fast the sources change.
 *
 * What is compared (src/plan/audit_sql.c):
 *  - if the planner expects that to be cheap, all of the view and of its state;
 *  - else some keys.  Half of the times they are those of stored rows, from a random page:
 *    so wrong rows and rows too much are found.  The other times rows of a random page of a
 *    source are taken for a delta, and the keys are those that it would touch: so are
 *    missing rows;
 *  - nothing, if the planner expects even that to be expensive.
 * A view that is to be recomputed anyway is compared as a whole, whatever that costs.
 * A view that holds a copy of what is not in the log (foreign tables, materialized
 * views) is not compared: it is as of its last refresh.
 *
 * Runs in the applier, as the view's owner, under the tick's locks and snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "audit/view_audit.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "plan/audit_sql.h"
#include "plan/determined.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* In the planner's units: up to this a view is compared as a whole, or by key at all. */
#define WHOLE_COST 1000.0
#define KEYS_COST 20000.0

#define PAGE_TRIES 8
#define TOUCHED_NAME "touched"

typedef struct ViewAudit
{
	ViewRun *run;
	LiveView *view;
	AuditKey *key;
	bool view_compared; /* its rows have one right value */
	int wanted;			/* keys */

	/* the keys, which have one pattern of NULLs */
	TupleDesc desc;
	Tuplestorestate *touched;
	Bitmapset *nulls;
	int ntouched;
	TupleTableSlot *image_row; /* of the view, for rows given as images */

	/* the differences of the present comparison */
	MemoryContext result_context;
	TargetSpec *spec;
	TupleTableSlot *difference;
	bool of_state;
	int64 part;		/* of the last row */
	bool last_open; /* it was stored but not expected: an expected one may follow */
	List *differences;
} ViewAudit;

/* ---------- differences ---------- */

/* Returns a row that is given as an image as JSON. */
static char *
row_as_json(ViewAudit *audit, Datum image)
{
	Datum row, json;
	char *copy;

	ExecStoreMinimalTuple(derive_image_tuple(image), audit->difference, false);
	row = ExecFetchSlotHeapTupleDatum(audit->difference);
	json = DirectFunctionCall1(row_to_json, row);
	copy = MemoryContextStrdup(audit->result_context, TextDatumGetCString(json));
	ExecClearTuple(audit->difference);
	return copy;
}

/* Takes a row of a comparison (a RowConsumer): count, image, part. */
static void
take_difference(TupleTableSlot *row, void *arg)
{
	ViewAudit *audit = (ViewAudit *) arg;
	MemoryContext old;
	AuditDifference *difference;
	bool isnull;
	int64 count = DatumGetInt64(slot_getattr(row, 1, &isnull));
	char *json = row_as_json(audit, slot_getattr(row, 2, &isnull));
	int64 part = DatumGetInt64(slot_getattr(row, 3, &isnull));

	if (count > 0 && audit->last_open && audit->part == part)
	{
		difference = llast(audit->differences);
		difference->kind = audit->of_state ? "state different" : "different";
		difference->expected = json;
		audit->last_open = false;
		return;
	}
	old = MemoryContextSwitchTo(audit->result_context);
	difference = palloc0(sizeof(AuditDifference));
	if (count > 0)
	{
		difference->kind = audit->of_state ? "state missing" : "missing";
		difference->expected = json;
	}
	else
	{
		difference->kind = audit->of_state ? "state unexpected" : "unexpected";
		difference->actual = json;
	}
	audit->differences = lappend(audit->differences, difference);
	audit->part = part;
	audit->last_open = count < 0;
	MemoryContextSwitchTo(old);
}

/* Returns the key of the comparison that a SqlMaker makes; rows of "touched" are registered. */
static QueryKey
comparison_key(ViewAudit *audit, SqlMaker make_sql)
{
	QueryKey key = {make_sql, audit->nulls, audit->ntouched, NULL};

	return key;
}

/* Returns what the planner expects a comparison to cost. */
static Cost
comparison_cost(ViewAudit *audit, SqlMaker make_sql)
{
	QueryKey key = comparison_key(audit, make_sql);

	return derive_query_plan(audit->run->queries, &key)->total_cost;
}

/* Compares a relation, the view's or its state's, with what it should hold. */
static void
compare(ViewAudit *audit, SqlMaker make_sql, TargetSpec *spec)
{
	QueryKey key = comparison_key(audit, make_sql);

	audit->spec = spec;
	audit->of_state = spec == audit->run->state;
	audit->difference = MakeSingleTupleTableSlot(spec->desc, &TTSOpsMinimalTuple);
	audit->last_open = false;
	derive_query_run_kept(audit->run->queries, &key, take_difference, audit);
	ExecDropSingleTupleTableSlot(audit->difference);
}

/* ---------- keys ---------- */

/* Makes the tuplestore of the keys. */
static void
begin_keys(ViewAudit *audit)
{
	AuditKey *key = audit->key;

	audit->desc = CreateTemplateTupleDesc(key->nkeys);
	for (int i = 0; i < key->nkeys; i++)
	{
		TupleDescInitEntry(audit->desc, i + 1, psprintf("k%d", i + 1), key->keys[i].type,
						   key->keys[i].typmod, 0);
		TupleDescInitEntryCollation(audit->desc, i + 1, key->keys[i].collation);
	}
	audit->touched = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_set_eflags(audit->touched, EXEC_FLAG_REWIND);
	audit->image_row = MakeSingleTupleTableSlot(audit->run->view->desc,
												&TTSOpsMinimalTuple);
}

/* Adds a key, if there is room and its NULLs are those of the others. */
static void
add_key(ViewAudit *audit, Datum *values, bool *isnull)
{
	Bitmapset *nulls = NULL;

	if (audit->ntouched >= audit->wanted)
		return;
	for (int i = 0; i < audit->key->nkeys; i++)
		if (isnull[i])
			nulls = bms_add_member(nulls, i);
	if (audit->ntouched > 0 && !bms_equal(nulls, audit->nulls))
		return;
	if (audit->ntouched == 0)
	{
		/* the query that gives the row ends before the keys are compared */
		MemoryContext old = MemoryContextSwitchTo(audit->result_context);

		audit->nulls = bms_copy(nulls);
		MemoryContextSwitchTo(old);
	}
	tuplestore_putvalues(audit->touched, audit->desc, values, isnull);
	audit->ntouched++;
}

/* Adds the key of a row of the view, or of a fold's state, whose keys come first. */
static void
add_key_of_row(ViewAudit *audit, TupleTableSlot *row)
{
	Datum *values = palloc(sizeof(Datum) * audit->key->nkeys);
	bool *isnull = palloc(sizeof(bool) * audit->key->nkeys);
	bool of_state = audit->run->plan->stage->kind == STAGE_FOLD;

	slot_getallattrs(row);
	for (int i = 0; i < audit->key->nkeys; i++)
	{
		int attno = of_state ? i + 1 : list_nth_int(audit->key->columns, i);

		values[i] = row->tts_values[attno - 1];
		isnull[i] = row->tts_isnull[attno - 1];
	}
	add_key(audit, values, isnull);
}

/* Takes a row of a delta query (a RowConsumer): keys, or count and image. */
static void
take_touched(TupleTableSlot *row, void *arg)
{
	ViewAudit *audit = (ViewAudit *) arg;
	bool isnull;

	slot_getallattrs(row);
	if (audit->run->plan->stage->kind != STAGE_LINEAR)
	{
		add_key(audit, row->tts_values, row->tts_isnull);
		return;
	}
	ExecStoreMinimalTuple(derive_image_tuple(slot_getattr(row, 2, &isnull)),
						  audit->image_row, false);
	add_key_of_row(audit, audit->image_row);
	ExecClearTuple(audit->image_row);
}

/* ---------- random rows ---------- */

/* Returns a random number below n, which is not 0. */
static uint64
random_below(uint64 n)
{
	return pg_prng_uint64_range(&pg_global_prng_state, 0, n - 1);
}

/* Counts the rows of a page, or hands those from the first-th on to a consumer. */
static int
scan_page(Relation rel, BlockNumber block, int first, RowConsumer consume, void *arg)
{
	ItemPointerData min, max;
	TableScanDesc scan;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	int n = 0;

	ItemPointerSet(&min, block, FirstOffsetNumber);
	ItemPointerSet(&max, block, MaxOffsetNumber);
	scan = table_beginscan_tidrange(rel, GetActiveSnapshot(), &min, &max);
	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		if (consume != NULL && n >= first)
			consume(slot, arg);
		n++;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return n;
}

/* Hands rows of a random page to a consumer, beginning with a random one. */
static void
sample_relation(Oid relid, RowConsumer consume, void *arg)
{
	Relation rel = table_open(relid, AccessShareLock);
	BlockNumber nblocks = 0;

	if (rel->rd_tableam != NULL && rel->rd_tableam->scan_set_tidrange != NULL)
		nblocks = RelationGetNumberOfBlocks(rel);
	for (int i = 0; i < PAGE_TRIES && nblocks > 0; i++)
	{
		BlockNumber block = random_below(nblocks);
		int n = scan_page(rel, block, 0, NULL, NULL);

		if (n == 0)
			continue;
		scan_page(rel, block, random_below(n), consume, arg);
		break;
	}
	table_close(rel, NoLock);
}

/* Takes a stored row (a RowConsumer). */
static void
take_stored(TupleTableSlot *row, void *arg)
{
	add_key_of_row((ViewAudit *) arg, row);
}

/* Rows of a source that are taken for a delta. */
typedef struct Imagined
{
	SourceDelta *delta;
	AttrNumber *attnums; /* of the delta's columns in the leaf that is read */
	Tuplestorestate *rows;
	int nrows;
	int wanted;
} Imagined;

/* Takes a row of a source (a RowConsumer). */
static void
take_source_row(TupleTableSlot *row, void *arg)
{
	Imagined *imagined = (Imagined *) arg;
	int natts = imagined->delta->desc->natts;
	Datum *values = palloc(sizeof(Datum) * natts);
	bool *isnull = palloc(sizeof(bool) * natts);

	if (imagined->nrows >= imagined->wanted)
		return;
	slot_getallattrs(row);
	values[0] = Int32GetDatum(1);
	isnull[0] = false;
	for (int i = 0; i < imagined->delta->ncolumns; i++)
	{
		values[i + 1] = row->tts_values[imagined->attnums[i] - 1];
		isnull[i + 1] = row->tts_isnull[imagined->attnums[i] - 1];
	}
	tuplestore_putvalues(imagined->rows, imagined->delta->desc, values, isnull);
	imagined->nrows++;
}

/* Returns a table that holds rows of a source: itself, or one below it. */
static Oid
random_leaf(PlanSource *source)
{
	List *leaves = NIL;
	ListCell *lc;

	if (source->only)
		return source->relid;
	foreach (lc, find_all_inheritors(source->relid, NoLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	if (leaves == NIL)
		return InvalidOid;
	return list_nth_oid(leaves, random_below(list_length(leaves)));
}

/* Takes rows of a random source for a delta; returns false if there are none. */
static bool
imagine_delta(ViewAudit *audit, Imagined *imagined, int source)
{
	PlanSource *read = list_nth(audit->run->plan->sources, source);
	Oid leaf = random_leaf(read);

	imagined->delta = derive_delta_find(&audit->view->cohort->deltas, read->relid,
										read->only, read->keys_only);
	if (imagined->delta == NULL || !OidIsValid(leaf))
		return false;
	imagined->wanted = audit->wanted;
	imagined->attnums = palloc(sizeof(AttrNumber) * (imagined->delta->ncolumns + 1));
	for (int i = 0; i < imagined->delta->ncolumns; i++)
		imagined->attnums[i] = get_attnum(
			leaf, get_attname(read->relid, imagined->delta->attnums[i], false));
	imagined->rows = tuplestore_begin_heap(false, false, work_mem);
	tuplestore_set_eflags(imagined->rows, EXEC_FLAG_REWIND);
	sample_relation(leaf, take_source_row, imagined);
	return imagined->nrows > 0;
}

/* Takes the keys that rows of a random source would touch. */
static void
take_keys_of_source(ViewAudit *audit)
{
	ViewPlan *plan = audit->run->plan;
	int i = random_below(list_length(plan->sources));
	const char *name = ((PlanSource *) list_nth(plan->sources, i))->delta_name;
	QueryKey key = {.make_sql = derive_plan_delta_sql, .part = bms_make_singleton(i)};
	Imagined imagined = {0};

	if (!imagine_delta(audit, &imagined, i))
		return;
	key.nrows = imagined.nrows;
	key.generations = palloc0(sizeof(uint64) * list_length(plan->sources));
	key.generations[i] = imagined.delta->layout_generation;
	derive_query_register(name, imagined.delta->desc, imagined.rows, imagined.nrows);
	if (derive_query_plan(audit->run->queries, &key)->total_cost <= KEYS_COST)
		derive_query_run_kept(audit->run->queries, &key, take_touched, audit);
	derive_query_unregister(name);
}

/* ---------- the audit ---------- */

/* Compares all of the view if that is asked for or cheap; returns whether it is. */
static bool
compare_whole(ViewAudit *audit)
{
	bool fold = audit->run->state != NULL;
	Cost cost = 0;

	if (audit->view_compared)
		cost += comparison_cost(audit, derive_audit_whole_view_sql);
	if (fold)
		cost += comparison_cost(audit, derive_audit_whole_state_sql);
	if (audit->wanted > 0 && cost > WHOLE_COST)
		return false;
	if (fold)
		compare(audit, derive_audit_whole_state_sql, audit->run->state);
	if (audit->view_compared)
		compare(audit, derive_audit_whole_view_sql, audit->run->view);
	return true;
}

/* Compares some keys; returns how many. */
static int
compare_keys(ViewAudit *audit)
{
	ViewPlan *plan = audit->run->plan;
	StageKind kind = plan->stage->kind;
	bool shown = !list_member_int(audit->key->columns, 0);
	bool state = audit->run->state != NULL;
	bool view = audit->view_compared && shown;

	begin_keys(audit);
	if (derive_plan_reads_deltas(plan) && kind != STAGE_RECURSION &&
		plan->sources != NIL && random_below(2) == 0)
		take_keys_of_source(audit);
	else
	{
		/* The parts of a view must be named once, but their rows are many. */
		if (kind == STAGE_KEYS)
			audit->wanted = 1;
		sample_relation(state ? audit->run->state->relid : audit->run->view->relid,
						take_stored, audit);
	}
	if (audit->ntouched == 0)
		return 0;
	derive_query_register(TOUCHED_NAME, audit->desc, audit->touched, audit->ntouched);
	state = state && comparison_cost(audit, derive_audit_state_sql) <= KEYS_COST;
	view = view && comparison_cost(audit, derive_audit_view_sql) <= KEYS_COST;
	if (state)
		compare(audit, derive_audit_state_sql, audit->run->state);
	if (view)
		compare(audit, derive_audit_view_sql, audit->run->view);
	derive_query_unregister(TOUCHED_NAME);
	return state || view ? audit->ntouched : 0;
}

/* Compares a view, see view_audit.h. */
List *
derive_audit_view(LiveView *view, int nkeys, int *compared)
{
	ViewAudit audit = {.view = view, .wanted = nkeys};
	ViewRun run;
	OwnerScope scope;

	*compared = 0;
	if (view->silent != NIL)
		return NIL;
	audit.result_context = CurrentMemoryContext;
	derive_runner_enter(view->runner, &run, &scope);
	audit.run = &run;
	audit.key = derive_audit_key(run.plan);
	audit.view_compared = derive_determined_columns(run.plan) != NULL;
	if (compare_whole(&audit))
		*compared = audit.view_compared || run.state != NULL ? nkeys : 0;
	else if (audit.key->nkeys > 0)
		*compared = compare_keys(&audit);
	derive_runner_leave(&run, &scope);
	return audit.differences;
}
