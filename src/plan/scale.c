/*-------------------------------------------------------------------------
 *
 * scale.c
 *	  Whether equal values of an expression may look different.
 *
 * Of numerics 1.0 and 1.00 are equal.  If all values of an expression must have the same
 * number of decimals (they come from a column numeric(p, s), or are computed from such),
 * that cannot happen.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "plan/scale.h"

/*
 * Returns the number of decimals that a numeric type modifier prescribes.
 */
static int
typmod_scale(int32 typmod)
{
	int scale = (((typmod - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;

	return Max(scale, 0);
}

/*
 * Returns the number of decimals of a numeric constant.
 */
static int
constant_scale(Const *constant)
{
	Datum scale;

	if (constant->constisnull || numeric_is_nan(DatumGetNumeric(constant->constvalue)) ||
		numeric_is_inf(DatumGetNumeric(constant->constvalue)))
		return DERIVE_SCALE_UNKNOWN;
	scale = DirectFunctionCall1(numeric_scale, constant->constvalue);
	return DatumGetInt32(scale);
}

/*
 * True if a field of EXTRACT is one that is always a whole number.
 */
static bool
is_whole_field(Node *field)
{
	static const char *const whole[] = {
		"millennium", "century", "decade", "year",	 "isoyear", "quarter", "month",
		"week",		  "day",	 "dow",	   "isodow", "doy",		"hour",	   "minute"};
	char *name;

	if (!IsA(field, Const) || ((Const *) field)->constisnull)
		return false;
	name = TextDatumGetCString(((Const *) field)->constvalue);
	for (int i = 0; i < lengthof(whole); i++)
		if (strcmp(name, whole[i]) == 0)
			return true;
	return false;
}

/*
 * True if a function's results are numerics without decimals.
 */
static bool
is_whole_number(FuncExpr *call)
{
	Oid function = call->funcid;

	if (function == F_NUMERIC_INT2 || function == F_NUMERIC_INT4 ||
		function == F_NUMERIC_INT8)
		return true;
	return (function == F_EXTRACT_TEXT_DATE || function == F_EXTRACT_TEXT_TIMESTAMP) &&
		   is_whole_field(linitial(call->args));
}

/* The least and the greatest number of decimals that values of an expression may have. */
typedef struct ScaleRange
{
	int least;
	int most;
} ScaleRange;

static bool find_range(Node *node, ScaleRange *range);

/*
 * Finds the range of what is one of several expressions; NULL has no decimals.
 */
static bool
find_union(List *alternatives, ScaleRange *range)
{
	bool found = false;
	ListCell *lc;

	foreach (lc, alternatives)
	{
		Node *node = lfirst(lc);
		ScaleRange other;

		if (IsA(node, Const) && ((Const *) node)->constisnull)
			continue;
		if (!find_range(node, &other))
			return false;
		range->least = found ? Min(range->least, other.least) : other.least;
		range->most = found ? Max(range->most, other.most) : other.most;
		found = true;
	}
	return found;
}

/*
 * Finds the range of an operator's results.
 */
static bool
find_operator_range(OpExpr *op, ScaleRange *range)
{
	Oid function = get_opcode(op->opno);
	ScaleRange right;

	if (!find_range(linitial(op->args), range))
		return false;
	if (function == F_NUMERIC_UMINUS || function == F_NUMERIC_UPLUS)
		return true;
	if (!find_range(llast(op->args), &right))
		return false;
	if (function == F_NUMERIC_ADD || function == F_NUMERIC_SUB)
	{
		range->least = Max(range->least, right.least);
		range->most = Max(range->most, right.most);
		return true;
	}
	if (function == F_NUMERIC_MUL)
	{
		range->least += right.least;
		range->most += right.most;
		return true;
	}
	return false;
}

/*
 * Finds the range of the numbers of decimals of a numeric expression's finite values.
 * False if nothing is known.
 */
static bool
find_range(Node *node, ScaleRange *range)
{
	int32 typmod = exprTypmod(node);
	Oid base_type = getBaseTypeAndTypmod(exprType(node), &typmod);

	range->least = range->most = DERIVE_SCALE_UNKNOWN;
	if (base_type == NUMERICOID && typmod >= (int32) VARHDRSZ)
		range->least = range->most = typmod_scale(typmod);
	else if (IsA(node, Const) && base_type == NUMERICOID)
		range->least = range->most = constant_scale((Const *) node);
	else if (IsA(node, RelabelType))
		return find_range((Node *) ((RelabelType *) node)->arg, range);
	else if (IsA(node, FuncExpr) && is_whole_number((FuncExpr *) node))
		range->least = range->most = 0;
	else if (IsA(node, OpExpr))
		return find_operator_range((OpExpr *) node, range);
	else if (IsA(node, CoalesceExpr))
		return find_union(((CoalesceExpr *) node)->args, range);
	else if (IsA(node, CaseExpr))
	{
		CaseExpr *expression = (CaseExpr *) node;
		List *results = list_make1(expression->defresult);
		ListCell *lc;

		foreach (lc, expression->args)
			results = lappend(results, lfirst_node(CaseWhen, lc)->result);
		return find_union(results, range);
	}
	return range->most != DERIVE_SCALE_UNKNOWN;
}

/*
 * Returns the number of decimals that each finite value of a numeric expression is
 * known to have, or DERIVE_SCALE_UNKNOWN.
 */
int
derive_scale_of(Node *node)
{
	ScaleRange range;

	return find_range(node, &range) && range.least == range.most ? range.most
																 : DERIVE_SCALE_UNKNOWN;
}

/*
 * Returns a number of decimals that no finite value of a numeric expression exceeds, or
 * DERIVE_SCALE_UNKNOWN.
 */
int
derive_scale_most(Node *node)
{
	ScaleRange range;

	return find_range(node, &range) ? range.most : DERIVE_SCALE_UNKNOWN;
}

/*
 * True if two values of an expression can be equal by their type's btree equality
 * and yet differ in their bytes.  Core knows for its own use: an index may
 * deduplicate keys only where this cannot be.
 */
bool
derive_image_may_vary(Node *expression, TypeCacheEntry *type, Oid collation)
{
	Oid base_type = getBaseType(exprType(expression));
	Oid proc;

	if (IsA(expression, Const))
		return false;
	if (base_type == NUMERICOID && derive_scale_of(expression) != DERIVE_SCALE_UNKNOWN)
		return false;
	if (base_type == BPCHAROID && exprTypmod(expression) >= 0)
		return !get_collation_isdeterministic(collation);

	proc = get_opfamily_proc(type->btree_opf, type->btree_opintype, type->btree_opintype,
							 BTEQUALIMAGE_PROC);
	return !OidIsValid(proc) ||
		   !DatumGetBool(OidFunctionCall1Coll(proc, collation,
											  ObjectIdGetDatum(type->btree_opintype)));
}
