/*-------------------------------------------------------------------------
 *
 * row_sort.c
 *	  Signed rows in the order in which they can be applied.
 *
 * A relation wants each key, or without a key each image, only once in a run (see
 * target.c), and for each key what leaves before what arrives (see linear.c).
 * One query delivers in that order.  This is for signed rows that arise otherwise, or
 * from several queries: they are sorted, what cancels out is left out, and the rest is
 * applied as if one query had given it.  The sort spills past work_mem.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/compat.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "maintain/linear.h"
#include "maintain/row_sort.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

/* Columns of the rows in the sort; the key columns follow. */
#define COUNT_COLUMN 1
#define IMAGE_COLUMN 2
#define NFIXED 2

struct RowSort
{
	TargetSpec *spec;
	TupleDesc desc;
	Tuplesortstate *state;
	TupleTableSlot *slot; /* virtual, of desc */
	int64 nrows;
};

/* One thing to sort by. */
typedef struct SortOrder
{
	AttrNumber columns[INDEX_MAX_KEYS + 1];
	Oid operators[INDEX_MAX_KEYS + 1];
	Oid collations[INDEX_MAX_KEYS + 1];
	bool nulls_first[INDEX_MAX_KEYS + 1];
	int n;
} SortOrder;

/* Adds a column to the order. */
static void
order_by(SortOrder *order, AttrNumber column, Oid operator, Oid collation)
{
	order->columns[order->n] = column;
	order->operators[order->n] = operator;
	order->collations[order->n] = collation;
	order->nulls_first[order->n] = false;
	order->n++;
}

/* Makes the descriptor: count, image, key columns; and the order to go with it. */
static TupleDesc
make_desc(TargetSpec *spec, SortOrder *order)
{
	TupleDesc desc = CreateTemplateTupleDesc(NFIXED + list_length(spec->key));
	ListCell *lc;

	TupleDescInitEntry(desc, COUNT_COLUMN, "count", INT8OID, -1, 0);
	TupleDescInitEntry(desc, IMAGE_COLUMN, "image", BYTEAOID, -1, 0);
	foreach (lc, spec->key)
	{
		AttrNumber column = NFIXED + 1 + foreach_current_index(lc);
		Form_pg_attribute att;

		TupleDescCopyEntry(desc, column, spec->desc, lfirst_int(lc));
		att = TupleDescAttr(desc, column - 1);
		order_by(order, column,
				 lookup_type_cache(att->atttypid, TYPECACHE_LT_OPR)->lt_opr,
				 att->attcollation);
	}
	if (spec->key == NIL)
		order_by(order, IMAGE_COLUMN, ByteaLessOperator, InvalidOid);
	else
		order_by(order, COUNT_COLUMN, Int8LessOperator, InvalidOid);
	return desc;
}

/* Starts a sort of a relation's signed rows, in CurrentMemoryContext. */
RowSort *
derive_sort_begin(TargetSpec *spec)
{
	RowSort *sort = palloc0(sizeof(RowSort));
	SortOrder order = {.n = 0};

	sort->spec = spec;
	sort->desc = make_desc(spec, &order);
	sort->state = tuplesort_begin_heap(sort->desc, order.n, order.columns,
									   order.operators, order.collations,
									   order.nulls_first, work_mem, NULL, TUPLESORT_NONE);
	sort->slot = MakeSingleTupleTableSlot(sort->desc, &TTSOpsVirtual);
	return sort;
}

/* Adds a row with a sign; what it needs besides is left in CurrentMemoryContext. */
void
derive_sort_put(RowSort *sort, TupleTableSlot *row, int sign)
{
	TupleTableSlot *slot = ExecClearTuple(sort->slot);
	MinimalTuple image = derive_image_form(sort->spec->shape, row);
	Size size = image->t_len;
	ListCell *lc;

	SET_VARSIZE(image, size); /* a bytea from now on */
	memset(slot->tts_isnull, false, sizeof(bool) * NFIXED);
	slot->tts_values[COUNT_COLUMN - 1] = Int64GetDatum(sign);
	slot->tts_values[IMAGE_COLUMN - 1] = PointerGetDatum(image);
	foreach (lc, sort->spec->key)
	{
		int i = NFIXED + foreach_current_index(lc);

		slot->tts_values[i] = slot_getattr(row, lfirst_int(lc), &slot->tts_isnull[i]);
	}
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sort->state, slot);
	sort->nrows++;
}

/* Adds a row as a query gives it: count, image, key columns. */
void
derive_sort_put_signed(RowSort *sort, TupleTableSlot *row)
{
	tuplesort_puttupleslot(sort->state, row);
	sort->nrows++;
}

/* Tells whether two byteas are equal. */
static bool
same_bytes(Datum a, Datum b)
{
	return VARSIZE_ANY_EXHDR(DatumGetPointer(a)) ==
			   VARSIZE_ANY_EXHDR(DatumGetPointer(b)) &&
		   memcmp(VARDATA_ANY(DatumGetPointer(a)), VARDATA_ANY(DatumGetPointer(b)),
				  VARSIZE_ANY_EXHDR(DatumGetPointer(a))) == 0;
}

/* Hands a sum of equal rows on, unless it is none. */
static void
flush_sum(LinearApplier *applier, TupleTableSlot *sum)
{
	if (!TTS_EMPTY(sum) && DatumGetInt64(sum->tts_values[COUNT_COLUMN - 1]) != 0)
		derive_linear_take(sum, applier);
	ExecClearTuple(sum);
}

/*
 * Applies the rows of a relation without key: those with one image follow each
 * other, and their sum counts.
 */
static void
apply_sums(RowSort *sort, LinearApplier *applier, TupleTableSlot *row)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_derive sum",
												  ALLOCSET_DEFAULT_SIZES);
	TupleTableSlot *sum = ExecClearTuple(sort->slot);

	while (tuplesort_gettupleslot(sort->state, true, false, row, NULL))
	{
		slot_getallattrs(row);
		if (TTS_EMPTY(sum) || !same_bytes(sum->tts_values[IMAGE_COLUMN - 1],
										  row->tts_values[IMAGE_COLUMN - 1]))
		{
			MemoryContext oldcontext;

			flush_sum(applier, sum);
			MemoryContextReset(context);
			oldcontext = MemoryContextSwitchTo(context);
			sum->tts_values[COUNT_COLUMN - 1] = Int64GetDatum(0);
			sum->tts_values[IMAGE_COLUMN - 1] = PointerGetDatum(
				PG_DETOAST_DATUM_COPY(row->tts_values[IMAGE_COLUMN - 1]));
			MemoryContextSwitchTo(oldcontext);
			memset(sum->tts_isnull, false, sizeof(bool) * NFIXED);
			ExecStoreVirtualTuple(sum);
		}
		sum->tts_values[COUNT_COLUMN - 1] = Int64GetDatum(
			DatumGetInt64(sum->tts_values[COUNT_COLUMN - 1]) +
			DatumGetInt64(row->tts_values[COUNT_COLUMN - 1]));
	}
	flush_sum(applier, sum);
	MemoryContextDelete(context);
}

/* Sorts the rows, applies them to the relation and ends the sort. */
void
derive_sort_apply(RowSort *sort, Target *target)
{
	if (sort->nrows > 0)
	{
		LinearApplier *applier = derive_linear_begin(target);
		TupleTableSlot *row = MakeSingleTupleTableSlot(sort->desc, &TTSOpsMinimalTuple);

		tuplesort_performsort(sort->state);
		if (sort->spec->key == NIL)
			apply_sums(sort, applier, row);
		else
		{
			while (tuplesort_gettupleslot(sort->state, true, false, row, NULL))
				derive_linear_take(row, applier);
		}
		ExecDropSingleTupleTableSlot(row);
		derive_linear_end(applier);
	}
	ExecDropSingleTupleTableSlot(sort->slot);
	tuplesort_end(sort->state);
	pfree(sort);
}
