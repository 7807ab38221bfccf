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
 * Returns the number of decimals that each finite value of a numeric expression is
 * known to have, or DERIVE_SCALE_UNKNOWN.
 */
int
derive_scale_of(Node *node)
{
	int32 typmod = exprTypmod(node);
	Oid base_type = getBaseTypeAndTypmod(exprType(node), &typmod);

	if (base_type == NUMERICOID && typmod >= (int32) VARHDRSZ)
		return typmod_scale(typmod);
	if (IsA(node, Const) && base_type == NUMERICOID)
		return constant_scale((Const *) node);
	if (IsA(node, RelabelType))
		return derive_scale_of((Node *) ((RelabelType *) node)->arg);
	if (IsA(node, FuncExpr))
	{
		Oid function = ((FuncExpr *) node)->funcid;

		if (function == F_NUMERIC_INT2 || function == F_NUMERIC_INT4 ||
			function == F_NUMERIC_INT8)
			return 0;
		if ((function == F_EXTRACT_TEXT_DATE || function == F_EXTRACT_TEXT_TIMESTAMP) &&
			is_whole_field(linitial(((FuncExpr *) node)->args)))
			return 0;
	}
	if (IsA(node, OpExpr))
	{
		OpExpr *op = (OpExpr *) node;
		Oid function = get_opcode(op->opno);
		int left = derive_scale_of(linitial(op->args));
		int right = derive_scale_of(llast(op->args));

		if (function == F_NUMERIC_UMINUS || function == F_NUMERIC_UPLUS)
			return left;
		if (left == DERIVE_SCALE_UNKNOWN || right == DERIVE_SCALE_UNKNOWN)
			return DERIVE_SCALE_UNKNOWN;
		if (function == F_NUMERIC_ADD || function == F_NUMERIC_SUB)
			return Max(left, right);
		if (function == F_NUMERIC_MUL)
			return left + right;
	}
	return DERIVE_SCALE_UNKNOWN;
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
