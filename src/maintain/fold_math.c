/*-------------------------------------------------------------------------
 *
 * fold_math.c
 *	  A group's state and its delta into a new state.
 *
 * The delta counts rows with signs and is not net: a row may appear and vanish
 * within it.  For each kind of state column:
 *
 * count	old + net.
 * sum		old + plus - minus, NULL when no input is left.  Exact types only.
 *			numeric knows NaN and infinities, from which nothing can be taken
 *			away again, and shows as many decimals as the input with most of
 *			them, which may be the one that left: both mean compute anew.  Not so if
 *			it is known how many decimals an input can have at most, and one is left
 *			that has so many: then old, or plus, has them, too, and so has the result.
 * min, max	Let m be the old value, p and q the least of what arrives and of what
 *			leaves.  If nothing leaves that is as low as min(m, p), that is the new
 *			value: some row has it, and no row that is left is lower.  Otherwise the
 *			row that had it may have left: compute anew.
 * value	no inverse: compute anew.
 *
 * Values made here live in CurrentMemoryContext (the group's).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/errors.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "maintain/fold_math.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* A state column and where its part of the delta row begins. */
typedef struct ColumnMath
{
	const FoldColumn *column;
	int state; /* 0-based column of the state row */
	int delta; /* 0-based column of the delta row */
	FmgrInfo plus;
	FmgrInfo minus;
	FmgrInfo compare;
} ColumnMath;

struct FoldMath
{
	Stage *stage;
	int n;				 /* 0-based column of "n" in both rows */
	ColumnMath *columns; /* [stage->ncolumns] */
};

/* Returns how many columns of the delta row belong to a state column. */
static int
delta_width(const FoldColumn *column)
{
	switch (column->kind)
	{
		case FOLD_COUNT:
			return 1;
		case FOLD_SUM:
			return column->scale_guard ? 3 : 2;
		case FOLD_MIN:
		case FOLD_MAX:
			return 2;
		case FOLD_VALUE:
			return 0;
	}
	return 0;
}

/* Looks up what the arithmetic of a stage needs, in CurrentMemoryContext. */
FoldMath *
derive_fold_math(Stage *stage)
{
	FoldMath *math = palloc0(sizeof(FoldMath));
	int delta = stage->nkeys + 1;

	math->stage = stage;
	math->n = stage->nkeys;
	math->columns = palloc0(sizeof(ColumnMath) * Max(1, stage->ncolumns));
	for (int i = 0; i < stage->ncolumns; i++)
	{
		ColumnMath *column = &math->columns[i];

		column->column = &stage->columns[i];
		column->state = stage->nkeys + 1 + i;
		column->delta = delta;
		delta += delta_width(column->column);
		if (OidIsValid(column->column->plus_fn))
			fmgr_info(column->column->plus_fn, &column->plus);
		if (OidIsValid(column->column->minus_fn))
			fmgr_info(column->column->minus_fn, &column->minus);
		if (OidIsValid(column->column->cmp_fn))
			fmgr_info(column->column->cmp_fn, &column->compare);
	}
	return math;
}

/* Makes a state row that has just the keys of row (whose first columns they are). */
void
derive_fold_set_keys(FoldMath *math, TupleTableSlot *state, TupleTableSlot *row)
{
	int nkeys = math->stage->nkeys;

	ExecClearTuple(state);
	memset(state->tts_isnull, true, sizeof(bool) * state->tts_tupleDescriptor->natts);
	memcpy(state->tts_values, row->tts_values, sizeof(Datum) * nkeys);
	memcpy(state->tts_isnull, row->tts_isnull, sizeof(bool) * nkeys);
	ExecStoreVirtualTuple(state);
}

/* Adds the net count of the delta; a count below zero cannot be. */
static int64
add_count(TupleTableSlot *old, int state, TupleTableSlot *delta, int column)
{
	int64 count = 0;

	if (old != NULL && !old->tts_isnull[state])
		count += DatumGetInt64(old->tts_values[state]);
	if (!delta->tts_isnull[column])
		count += DatumGetInt64(delta->tts_values[column]);
	if (count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DERIVE_VIEW_DIVERGED),
				 errmsg("stored state of a group is not what its changes say"),
				 errdetail("More rows leave the group than it has."),
				 errhint("The view is recomputed; derive.refresh does it at once.")));
	return count;
}

/* Tells whether nothing can be taken away from a value again. */
static bool
is_special(const FoldColumn *column, Datum value, bool isnull)
{
	Numeric number;

	if (isnull || column->type != NUMERICOID)
		return false;
	number = DatumGetNumeric(value);
	return numeric_is_nan(number) || numeric_is_inf(number);
}

/* Returns the number of inputs that a sum has after the delta. */
static int64
inputs_of_sum(FoldMath *math, const FoldColumn *column, TupleTableSlot *new)
{
	int count = column->count_column < 0 ? math->n
										 : math->columns[column->count_column].state;

	return DatumGetInt64(new->tts_values[count]);
}

/* Tells whether an input is left that has as many decimals as any can have. */
static bool
has_most_decimals(FoldMath *math, const FoldColumn *column, TupleTableSlot *new)
{
	return column->most_column >= 0 &&
		   DatumGetInt64(new->tts_values[math->columns[column->most_column].state]) > 0;
}

/* Folds a sum; false: compute the group anew.  The counts are in the new state already. */
static bool
fold_sum(FoldMath *math, ColumnMath *sum, TupleTableSlot *old, TupleTableSlot *delta,
		 TupleTableSlot *new)
{
	const FoldColumn *column = sum->column;
	bool have = old != NULL && !old->tts_isnull[sum->state];
	Datum value = have ? old->tts_values[sum->state] : (Datum) 0;
	Datum plus = delta->tts_values[sum->delta];
	bool plus_null = delta->tts_isnull[sum->delta];
	Datum minus = delta->tts_values[sum->delta + 1];
	bool minus_null = delta->tts_isnull[sum->delta + 1];

	new->tts_isnull[sum->state] = true;
	if (inputs_of_sum(math, column, new) == 0)
		return true;
	if ((column->special_guard || column->scale_guard) &&
		(is_special(column, value, !have) || is_special(column, plus, plus_null) ||
		 is_special(column, minus, minus_null)))
		return false;
	if (!minus_null && column->scale_guard && !has_most_decimals(math, column, new) &&
		(!have || delta->tts_isnull[sum->delta + 2] ||
		 DatumGetInt32(delta->tts_values[sum->delta + 2]) >=
			 DatumGetInt32(DirectFunctionCall1(numeric_scale, value))))
		return false;

	if (!plus_null)
	{
		value = have ? FunctionCall2Coll(&sum->plus, column->collation, value, plus)
					 : plus;
		have = true;
	}
	if (!minus_null)
	{
		if (!have)
			return false;
		value = FunctionCall2Coll(&sum->minus, column->collation, value, minus);
	}
	new->tts_values[sum->state] = value;
	new->tts_isnull[sum->state] = !have;
	return have;
}

/* Folds a min or max; false: compute the group anew. */
static bool
fold_extreme(ColumnMath *extreme, TupleTableSlot *old, TupleTableSlot *delta,
			 TupleTableSlot *new)
{
	Oid collation = extreme->column->collation;
	int sign = extreme->column->kind == FOLD_MIN ? 1 : -1;
	bool have = old != NULL && !old->tts_isnull[extreme->state];
	Datum value = have ? old->tts_values[extreme->state] : (Datum) 0;

	if (!delta->tts_isnull[extreme->delta])
	{
		Datum plus = delta->tts_values[extreme->delta];

		if (!have || sign * DatumGetInt32(FunctionCall2Coll(&extreme->compare, collation,
															plus, value)) <
						 0)
			value = plus;
		have = true;
	}
	if (!delta->tts_isnull[extreme->delta + 1])
	{
		Datum minus = delta->tts_values[extreme->delta + 1];

		if (!have || sign * DatumGetInt32(FunctionCall2Coll(&extreme->compare, collation,
															minus, value)) <=
						 0)
			return false;
	}
	new->tts_values[extreme->state] = value;
	new->tts_isnull[extreme->state] = !have;
	return true;
}

/* Folds all counts, on which the sums depend. */
static void
fold_counts(FoldMath *math, TupleTableSlot *old, TupleTableSlot *delta,
			TupleTableSlot *new)
{
	new->tts_values[math->n] = Int64GetDatum(add_count(old, math->n, delta, math->n));
	new->tts_isnull[math->n] = false;
	for (int i = 0; i < math->stage->ncolumns; i++)
	{
		ColumnMath *column = &math->columns[i];

		if (column->column->kind != FOLD_COUNT)
			continue;
		new->tts_values[column->state] = Int64GetDatum(
			add_count(old, column->state, delta, column->delta));
		new->tts_isnull[column->state] = false;
	}
}

/*
 * Folds a group's delta into its old state (NULL: there was none).  new has the
 * group's keys already (see derive_fold_set_keys) and gets the rest.  Rows are
 * deformed.
 */
FoldResult
derive_fold_add(FoldMath *math, TupleTableSlot *old, TupleTableSlot *delta,
				TupleTableSlot *new)
{
	bool folded = !math->stage->always_recompute;

	if (old != NULL)
	{
		slot_getallattrs(old);
		derive_fold_set_keys(math, new, old);
	}
	fold_counts(math, old, delta, new);
	if (math->stage->nkeys > 0 && DatumGetInt64(new->tts_values[math->n]) == 0)
		return FOLD_GONE;
	for (int i = 0; i < math->stage->ncolumns && folded; i++)
	{
		ColumnMath *column = &math->columns[i];

		if (column->column->kind == FOLD_SUM)
			folded = fold_sum(math, column, old, delta, new);
		else if (column->column->kind == FOLD_MIN || column->column->kind == FOLD_MAX)
			folded = fold_extreme(column, old, delta, new);
	}
	return folded ? FOLD_NEW_STATE : FOLD_RECOMPUTE;
}
