/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  Aggregate stages: what to keep for each group, and the view's rows out of it.
 *
 * An aggregate stage (GROUP BY, aggregates or HAVING) is fed by a linear region
 * whose columns are, in this order,
 *
 *	k1, k2, ...		the group keys,
 *	a1, a2, ...		the inputs: each distinct aggregate argument, ORDER BY
 *					expression within an aggregate, and FILTER.  A FILTER is also part
 *					of the other inputs (CASE WHEN filter THEN argument END), so that
 *					they are not evaluated for rows that it keeps out, as in core.
 *					For count, sum, avg, min and max, which ignore NULLs, that is all
 *					there is of it.
 *
 * The state row of a group is: the keys, "n" (the number of rows), and the state
 * columns.  Aggregates over the same input share columns: count(x), sum(x) and
 * avg(x) need one count and one sum.  An aggregate without inverse is a column of its
 * own, whose value is computed anew from the group's rows whenever the group is touched.
 * The output is the view's target list with aggregates and group expressions replaced
 * by expressions over the state row; the same for HAVING.
 *
 * A query may also mention a column that is not grouped by when the group keys hold
 * the table's primary key.  Such a column becomes a further key of the state: in any
 * one snapshot that makes the same groups, and when the column's value changes, one
 * group dies and another one is born.
 *
 * The result of an aggregate must not only be equal to core's, but look the same:
 *
 *	- avg over exact types is the sum divided by the count, as core itself does it;
 *	- a numeric sum shows as many decimals as the input that has most.  If all inputs
 *	  must have the same number (they come from a column numeric(p, s), or are
 *	  computed from such), nothing can happen; else scale_guard;
 *	- a group key whose type has values that are equal and look different is taken
 *	  from the group's rows whenever the group is touched (image_varies).
 *
 * Runs where plans are made; catalog lookups through the syscache only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/tlist.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/regproc.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "plan/fold.h"
#include "plan/region.h"

#define SCALE_UNKNOWN (-1)
#define INT8_EQUAL_OPERATOR 410 /* bigint = bigint */

/* How a type's sums are kept. */
typedef struct SumType
{
	Oid input;
	Oid state;
	Oid plus_fn;
	Oid minus_fn;
} SumType;

static const SumType sum_types[] = {
	{INT2OID, INT8OID, F_INT8PL, F_INT8MI},
	{INT4OID, INT8OID, F_INT8PL, F_INT8MI},
	{INT8OID, NUMERICOID, F_NUMERIC_ADD, F_NUMERIC_SUB},
	{NUMERICOID, NUMERICOID, F_NUMERIC_ADD, F_NUMERIC_SUB},
	{MONEYOID, MONEYOID, F_CASH_PL, F_CASH_MI},
	{INTERVALOID, INTERVALOID, F_INTERVAL_PL, F_INTERVAL_MI},
};

/* A stage under construction.  Expressions are those of the query. */
typedef struct FoldBuilder
{
	Query *query;
	List *keys; /* group expressions, then dependent Vars */
	List *inputs;
	List *columns; /* of FoldColumn */
} FoldBuilder;

/*
 * Returns the index of an expression in a list, or -1.
 */
static int
find_expression(List *list, Node *expression)
{
	int index = 0;
	ListCell *lc;

	foreach (lc, list)
	{
		if (equal(lfirst(lc), expression))
			return index;
		index++;
	}
	return -1;
}

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
		return SCALE_UNKNOWN;
	scale = DirectFunctionCall1(numeric_scale, constant->constvalue);
	return DatumGetInt32(scale);
}

/*
 * Returns the number of decimals that each finite value of a numeric expression is
 * known to have, or SCALE_UNKNOWN.
 */
static int
expression_scale(Node *node)
{
	int32 typmod = exprTypmod(node);
	Oid base_type = getBaseTypeAndTypmod(exprType(node), &typmod);

	if (base_type == NUMERICOID && typmod >= (int32) VARHDRSZ)
		return typmod_scale(typmod);
	if (IsA(node, Const) && base_type == NUMERICOID)
		return constant_scale((Const *) node);
	if (IsA(node, RelabelType))
		return expression_scale((Node *) ((RelabelType *) node)->arg);
	if (IsA(node, FuncExpr))
	{
		Oid function = ((FuncExpr *) node)->funcid;

		if (function == F_NUMERIC_INT2 || function == F_NUMERIC_INT4 ||
			function == F_NUMERIC_INT8)
			return 0;
	}
	if (IsA(node, OpExpr))
	{
		OpExpr *op = (OpExpr *) node;
		Oid function = get_opcode(op->opno);
		int left = expression_scale(linitial(op->args));
		int right = expression_scale(llast(op->args));

		if (function == F_NUMERIC_UMINUS || function == F_NUMERIC_UPLUS)
			return left;
		if (left == SCALE_UNKNOWN || right == SCALE_UNKNOWN)
			return SCALE_UNKNOWN;
		if (function == F_NUMERIC_ADD || function == F_NUMERIC_SUB)
			return Max(left, right);
		if (function == F_NUMERIC_MUL)
			return left + right;
	}
	return SCALE_UNKNOWN;
}

/*
 * True if two values of an expression can be equal by their type's btree equality
 * and yet differ in their bytes.  Core knows for its own use: an index may
 * deduplicate keys only where this cannot be.
 */
static bool
image_may_vary(Node *expression, TypeCacheEntry *type, Oid collation)
{
	Oid base_type = getBaseType(exprType(expression));
	Oid proc;

	if (IsA(expression, Const))
		return false;
	if (base_type == NUMERICOID && expression_scale(expression) != SCALE_UNKNOWN)
		return false;
	if (base_type == BPCHAROID && exprTypmod(expression) >= 0)
		return !get_collation_isdeterministic(collation);

	proc = get_opfamily_proc(type->btree_opf, type->btree_opintype, type->btree_opintype,
							 BTEQUALIMAGE_PROC);
	return !OidIsValid(proc) ||
		   !DatumGetBool(OidFunctionCall1Coll(proc, collation,
											  ObjectIdGetDatum(type->btree_opintype)));
}

/*
 * Fills in a key of a stage out of its expression.  False if its type has no order, or
 * no column can have it; then *why says so.
 */
bool
derive_fold_make_key(FoldKey *key, Node *expression, int number, char **why)
{
	TypeCacheEntry *type;

	key->name = psprintf("k%d", number);
	key->type = exprType(expression);
	key->typmod = exprTypmod(expression);
	key->collation = exprCollation(expression);
	key->nullable = !(IsA(expression, Const) && !((Const *) expression)->constisnull);

	type = lookup_type_cache(key->type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	if (get_typtype(key->type) == TYPTYPE_PSEUDO)
	{
		*why = psprintf("a key has type %s, which cannot be stored",
						format_type_be(key->type));
		return false;
	}
	if (!OidIsValid(type->btree_opf) || !OidIsValid(type->eq_opr))
	{
		*why = psprintf(
			"a key has type %s, which has no default order to look keys up by",
			format_type_be(key->type));
		return false;
	}
	key->eq_op = type->eq_opr;
	key->image_varies = image_may_vary(expression, type, key->collation);
	return true;
}

/*
 * Adds Vars that are neither grouped by nor aggregated to the keys; a walker.
 */
static bool
collect_dependent_walker(Node *node, FoldBuilder *builder)
{
	if (node == NULL || find_expression(builder->keys, node) >= 0)
		return false;
	if (IsA(node, Aggref))
		return collect_dependent_walker((Node *) ((Aggref *) node)->aggdirectargs,
										builder);
	if (IsA(node, Var))
		builder->keys = lappend(builder->keys, node);
	return expression_tree_walker(node, collect_dependent_walker, builder);
}

/*
 * Returns the group expressions, each once.
 */
static List *
group_expressions(Query *query)
{
	List *expressions = NIL;
	ListCell *lc;

	foreach (lc, query->groupClause)
	{
		Node *expression = get_sortgroupclause_expr(lfirst(lc), query->targetList);

		if (find_expression(expressions, expression) < 0)
			expressions = lappend(expressions, expression);
	}
	return expressions;
}

/*
 * Collects the keys: group expressions, then what depends on them.
 */
static void
collect_keys(FoldBuilder *builder)
{
	ListCell *lc;

	builder->keys = group_expressions(builder->query);
	foreach (lc, builder->query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			collect_dependent_walker((Node *) tle->expr, builder);
	}
	collect_dependent_walker(builder->query->havingQual, builder);
}

/*
 * Returns an expression that is NULL and not evaluated where a condition does not hold.
 */
static Expr *
filter_expression(Expr *expression, Expr *filter)
{
	CaseExpr *filtered = makeNode(CaseExpr);
	CaseWhen *when = makeNode(CaseWhen);

	when->expr = filter;
	when->result = expression;
	when->location = -1;
	filtered->casetype = exprType((Node *) expression);
	filtered->casecollid = exprCollation((Node *) expression);
	filtered->args = list_make1(when);
	filtered->defresult = (Expr *) makeNullConst(
		filtered->casetype, exprTypmod((Node *) expression), filtered->casecollid);
	filtered->location = -1;
	return (Expr *) filtered;
}

/*
 * Returns the number of an input, adding it if it is new.
 */
static int
intern_expression(FoldBuilder *builder, Expr *expression)
{
	int index = find_expression(builder->inputs, (Node *) expression);

	if (index >= 0)
		return index;
	builder->inputs = lappend(builder->inputs, expression);
	return list_length(builder->inputs) - 1;
}

/*
 * Returns the number of an aggregate's only input, adding it if it is new; -1 if the
 * input is a row itself: count(*), without FILTER.
 */
static int
intern_input(FoldBuilder *builder, Aggref *aggref)
{
	Expr *argument = (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
										Int32GetDatum(1), false, true);

	if (aggref->args != NIL)
		argument = linitial_node(TargetEntry, aggref->args)->expr;
	if (aggref->aggfilter != NULL)
		argument = filter_expression(argument, aggref->aggfilter);
	else if (aggref->args == NIL)
		return -1;
	return intern_expression(builder, argument);
}

/*
 * Makes a reference to a column of the region, by number of the input.
 */
static Expr *
make_input_var(FoldBuilder *builder, int input)
{
	Node *expression = list_nth(builder->inputs, input);

	return (Expr *) makeVar(1, list_length(builder->keys) + input + 1,
							exprType(expression), exprTypmod(expression),
							exprCollation(expression), 0);
}

/*
 * Makes a reference to an attribute of the state row.
 */
static Node *
make_state_var(int attno, Oid type, int32 typmod, Oid collation)
{
	return (Node *) makeVar(1, attno, type, typmod, collation, 0);
}

/*
 * Makes a reference to "n" of the state row.
 */
static Node *
make_n_var(FoldBuilder *builder)
{
	return make_state_var(list_length(builder->keys) + 1, INT8OID, -1, InvalidOid);
}

/*
 * Makes a reference to a state column.
 */
static Node *
make_column_var(FoldBuilder *builder, int index)
{
	FoldColumn *column = list_nth(builder->columns, index);

	return make_state_var(list_length(builder->keys) + 2 + index, column->type,
						  column->typmod, column->collation);
}

/*
 * Returns the index of the state column like the given one, adding it if there is
 * none.
 */
static int
intern_column(FoldBuilder *builder, FoldColumn *wanted)
{
	FoldColumn *column;
	int index = 0;
	ListCell *lc;

	foreach (lc, builder->columns)
	{
		column = (FoldColumn *) lfirst(lc);
		if (column->kind == wanted->kind && column->input == wanted->input &&
			(column->kind != FOLD_VALUE || equal(column->call, wanted->call)))
			return index;
		index++;
	}

	column = palloc_object(FoldColumn);
	*column = *wanted;
	column->name = psprintf("c%d", index + 1);
	builder->columns = lappend(builder->columns, column);
	return index;
}

/*
 * Makes the call of one of core's aggregates with one input; the call without input, of
 * count(*), is not kept.
 */
static Aggref *
make_call(FoldBuilder *builder, Oid function, Oid result, Oid collation, int input)
{
	Aggref *call = makeNode(Aggref);
	Expr *argument = make_input_var(builder, input);

	call->aggfnoid = function;
	call->aggtype = result;
	call->inputcollid = collation;
	call->aggargtypes = list_make1_oid(exprType((Node *) argument));
	call->args = list_make1(makeTargetEntry(argument, 1, NULL, false));
	call->aggkind = AGGKIND_NORMAL;
	call->aggsplit = AGGSPLIT_SIMPLE;
	call->location = -1;
	return call;
}

/*
 * Returns the index of the column that counts an input, or -1 if that is "n".
 */
static int
intern_count(FoldBuilder *builder, int input)
{
	FoldColumn column = {.kind = FOLD_COUNT,
						 .type = INT8OID,
						 .typmod = -1,
						 .count_column = -1,
						 .input = input};
	Node *expression;

	if (input < 0)
		return -1;
	column.call = make_call(builder, F_COUNT_ANY, INT8OID, InvalidOid, input);
	expression = list_nth(builder->inputs, input);
	if (IsA(expression, Const) && !((Const *) expression)->constisnull)
		return -1;
	return intern_column(builder, &column);
}

/*
 * Returns how sums over a type are kept, or NULL if they have no inverse.
 */
static const SumType *
find_sum_type(Oid type)
{
	if (type == INTERVALOID && DERIVE_INTERVAL_HAS_INFINITY)
		return NULL;
	for (int i = 0; i < lengthof(sum_types); i++)
	{
		if (sum_types[i].input == type)
			return &sum_types[i];
	}
	return NULL;
}

/*
 * Returns core's sum of a type.
 */
static Oid
sum_function(Oid type)
{
	return LookupFuncName(list_make2(makeString("pg_catalog"), makeString("sum")), 1,
						  &type, false);
}

/*
 * Returns the index of the column that sums an input.
 */
static int
intern_sum(FoldBuilder *builder, int input, Aggref *aggref, const SumType *sum_type)
{
	FoldColumn column = {.kind = FOLD_SUM,
						 .type = sum_type->state,
						 .typmod = -1,
						 .plus_fn = sum_type->plus_fn,
						 .minus_fn = sum_type->minus_fn,
						 .input = input};
	Node *argument = (Node *) linitial_node(TargetEntry, aggref->args)->expr;

	column.call = make_call(builder, sum_function(sum_type->input), sum_type->state,
							InvalidOid, input);
	column.count_column = intern_count(builder, input);
	column.special_guard = sum_type->input == NUMERICOID;
	column.scale_guard = sum_type->input == NUMERICOID &&
						 expression_scale(argument) == SCALE_UNKNOWN;
	return intern_column(builder, &column);
}

/*
 * Returns an argument of an aggregate as a reference to a column of the region.
 * Constants stay what they are, and a group key needs no input of its own, because it
 * has one value in a group.
 */
static Expr *
replace_argument(FoldBuilder *builder, Expr *argument, Expr *filter)
{
	int key = find_expression(builder->keys, (Node *) argument);

	if (IsA(argument, Const))
		return argument;
	if (key >= 0)
		return (Expr *) makeVar(1, key + 1, exprType((Node *) argument),
								exprTypmod((Node *) argument),
								exprCollation((Node *) argument), 0);
	if (filter != NULL)
		argument = filter_expression(argument, filter);
	return make_input_var(builder, intern_expression(builder, argument));
}

/*
 * Names the collation that an aggregate works with if its arguments are of several: as
 * references to columns they do not say any more which one was meant.
 */
static void
keep_collation(Aggref *call)
{
	bool differ = false;
	ListCell *lc;

	foreach (lc, call->args)
	{
		TargetEntry *argument = lfirst_node(TargetEntry, lc);
		Oid collation = exprCollation((Node *) argument->expr);

		differ |= !argument->resjunk && OidIsValid(collation) &&
				  collation != call->inputcollid;
	}
	if (!differ || !OidIsValid(call->inputcollid))
		return;
	foreach (lc, call->args)
	{
		TargetEntry *argument = lfirst_node(TargetEntry, lc);
		CollateExpr *collate;

		if (argument->resjunk ||
			exprCollation((Node *) argument->expr) != call->inputcollid)
			continue;
		collate = makeNode(CollateExpr);
		collate->arg = argument->expr;
		collate->collOid = call->inputcollid;
		collate->location = -1;
		argument->expr = (Expr *) collate;
	}
}

/*
 * Replaces group keys by references to the region's columns; a mutator.  Direct
 * arguments consist of these and of constants.
 */
static Node *
direct_mutator(Node *node, FoldBuilder *builder)
{
	if (node != NULL && find_expression(builder->keys, node) >= 0)
		return (Node *) replace_argument(builder, (Expr *) node, NULL);
	return expression_tree_mutator(node, direct_mutator, builder);
}

/*
 * Makes an aggregate's call over the region's columns.
 */
static Aggref *
replace_arguments(FoldBuilder *builder, Aggref *aggref)
{
	Aggref *call = copyObject(aggref);
	ListCell *lc;

	foreach (lc, call->args)
	{
		TargetEntry *argument = lfirst_node(TargetEntry, lc);

		argument->expr = replace_argument(builder, argument->expr, aggref->aggfilter);
	}
	call->aggdirectargs = (List *) direct_mutator((Node *) call->aggdirectargs, builder);
	if (call->aggfilter != NULL)
		call->aggfilter = replace_argument(builder, call->aggfilter, NULL);
	call->location = -1;
	keep_collation(call);
	return call;
}

/*
 * Returns the index of the column that holds an aggregate's own result.
 */
static int
intern_value(FoldBuilder *builder, Aggref *aggref)
{
	FoldColumn column = {.kind = FOLD_VALUE,
						 .type = aggref->aggtype,
						 .typmod = -1,
						 .collation = aggref->aggcollid,
						 .count_column = -1,
						 .input = -1,
						 .call = replace_arguments(builder, aggref)};

	return intern_column(builder, &column);
}

/*
 * Returns the index of the column that holds an input's extremum.
 */
static int
intern_extremum(FoldBuilder *builder, int input, Aggref *aggref, FoldKind kind)
{
	FoldColumn column = {
		.kind = kind,
		.type = aggref->aggtype,
		.typmod = -1,
		.collation = aggref->aggcollid,
		.count_column = -1,
		.input = input,
		.cmp_fn = lookup_type_cache(aggref->aggtype, TYPECACHE_CMP_PROC)->cmp_proc,
		.call = make_call(builder, aggref->aggfnoid, aggref->aggtype, aggref->inputcollid,
						  input)};

	return OidIsValid(column.cmp_fn) ? intern_column(builder, &column)
									 : intern_value(builder, aggref);
}

/*
 * Makes a cast by a function of one argument.
 */
static Expr *
make_cast(Oid function, Oid type, Node *argument)
{
	return (Expr *) makeFuncExpr(function, type, list_make1(argument), InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CAST);
}

/*
 * Makes the expression for avg over an exact type: sum / count, NULL without input.
 */
static Node *
make_average(FoldBuilder *builder, int sum, Aggref *aggref)
{
	FoldColumn *column = list_nth(builder->columns, sum);
	Expr *dividend = (Expr *) make_column_var(builder, sum);
	Node *count = column->count_column < 0
					  ? make_n_var(builder)
					  : make_column_var(builder, column->count_column);
	bool interval = aggref->aggtype == INTERVALOID;
	Oid divisor_type = interval ? FLOAT8OID : NUMERICOID;
	Expr *division;

	if (column->type == INT8OID)
		dividend = make_cast(F_NUMERIC_INT8, NUMERICOID, (Node *) dividend);
	division = make_opclause(
		OpernameGetOprid(list_make2(makeString("pg_catalog"), makeString("/")),
						 aggref->aggtype, divisor_type),
		aggref->aggtype, false, dividend,
		make_cast(interval ? F_FLOAT8_INT8 : F_NUMERIC_INT8, divisor_type, count),
		InvalidOid, InvalidOid);
	set_opfuncid((OpExpr *) division);
	return (Node *) division;
}

/*
 * Makes a reference to the number of an input's non-null values.
 */
static Node *
make_count_var(FoldBuilder *builder, int input)
{
	int column = intern_count(builder, input);

	return column < 0 ? make_n_var(builder) : make_column_var(builder, column);
}

/*
 * Makes the condition that a count is 0.
 */
static Expr *
make_none(Node *count)
{
	Expr *zero = (Expr *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
									Int64GetDatum(0), false, FLOAT8PASSBYVAL);
	Expr *none = make_opclause(INT8_EQUAL_OPERATOR, BOOLOID, false, (Expr *) count, zero,
							   InvalidOid, InvalidOid);

	set_opfuncid((OpExpr *) none);
	return none;
}

/*
 * Adds a branch to a CASE of type boolean.
 */
static void
add_branch(CaseExpr *expression, Expr *condition, Node *result)
{
	CaseWhen *when = makeNode(CaseWhen);

	when->expr = condition;
	when->result = (Expr *) result;
	when->location = -1;
	expression->args = lappend(expression->args, when);
}

/*
 * Makes the expression for bool_and, every and bool_or: NULL without input, else whether
 * the value that decides, false or true, is among the inputs.
 */
static Node *
fold_boolean(FoldBuilder *builder, Aggref *aggref, bool deciding)
{
	Expr *argument = linitial_node(TargetEntry, aggref->args)->expr;
	Expr *one = (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
								   Int32GetDatum(1), false, true);
	Node *inputs = make_count_var(builder, intern_input(builder, aggref));
	CaseExpr *result = makeNode(CaseExpr);

	if (!deciding)
		argument = make_notclause(argument);
	argument = filter_expression(one, argument);
	if (aggref->aggfilter != NULL)
		argument = filter_expression(argument, aggref->aggfilter);
	result->casetype = BOOLOID;
	result->location = -1;
	add_branch(result, make_none(inputs), makeBoolConst(false, true));
	add_branch(result,
			   make_none(make_count_var(builder, intern_expression(builder, argument))),
			   makeBoolConst(!deciding, false));
	result->defresult = (Expr *) makeBoolConst(deciding, false);
	return (Node *) result;
}

/*
 * Returns the name of an aggregate if it is one of core's, without DISTINCT and WITHIN
 * GROUP, else "".
 */
static const char *
plain_name(Aggref *aggref)
{
	if (aggref->aggfnoid >= FirstGenbkiObjectId || aggref->aggdistinct != NIL ||
		aggref->aggkind != AGGKIND_NORMAL)
		return "";
	return get_func_name(aggref->aggfnoid);
}

/*
 * Makes the expression over the state row that is an aggregate's result, adding to
 * the state what it needs.  For those with a fold, ORDER BY within is of no importance.
 */
static Node *
fold_aggregate(FoldBuilder *builder, Aggref *aggref)
{
	const char *name = plain_name(aggref);
	bool min = strcmp(name, "min") == 0;
	bool sum = strcmp(name, "sum") == 0;
	const SumType *sum_type = NULL;
	int column;

	if (strcmp(name, "count") == 0)
		return make_count_var(builder, intern_input(builder, aggref));
	if (strcmp(name, "bool_and") == 0 || strcmp(name, "every") == 0)
		return fold_boolean(builder, aggref, false);
	if (strcmp(name, "bool_or") == 0)
		return fold_boolean(builder, aggref, true);
	if (min || strcmp(name, "max") == 0)
	{
		column = intern_extremum(builder, intern_input(builder, aggref), aggref,
								 min ? FOLD_MIN : FOLD_MAX);
		return make_column_var(builder, column);
	}
	if (sum || strcmp(name, "avg") == 0)
		sum_type = find_sum_type(linitial_oid(aggref->aggargtypes));
	if (sum_type == NULL)
		return make_column_var(builder, intern_value(builder, aggref));

	column = intern_sum(builder, intern_input(builder, aggref), aggref, sum_type);
	return sum ? make_column_var(builder, column) : make_average(builder, column, aggref);
}

/*
 * Replaces group expressions and aggregates by expressions over the state row; a
 * mutator.
 */
static Node *
output_mutator(Node *node, FoldBuilder *builder)
{
	int key;

	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref))
		return fold_aggregate(builder, (Aggref *) node);
	key = find_expression(builder->keys, node);
	if (key >= 0)
		return make_state_var(key + 1, exprType(node), exprTypmod(node),
							  exprCollation(node));
	return expression_tree_mutator(node, output_mutator, builder);
}

/*
 * Makes the target list over the state row, without resjunk columns.
 */
static List *
make_outputs(FoldBuilder *builder)
{
	List *outputs = NIL;
	ListCell *lc;

	foreach (lc, builder->query->targetList)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Expr *expression;

		if (tle->resjunk)
			continue;
		expression = (Expr *) output_mutator((Node *) tle->expr, builder);
		outputs = lappend(outputs, makeTargetEntry(expression, list_length(outputs) + 1,
												   pstrdup(tle->resname), false));
	}
	return outputs;
}

/*
 * Returns the columns that the region must compute: keys, then inputs.
 */
static List *
make_region_columns(FoldBuilder *builder, Region *region)
{
	List *columns = NIL;
	int number = 1;
	ListCell *lc;

	foreach (lc, builder->keys)
	{
		columns = lappend(
			columns,
			makeTargetEntry((Expr *) derive_region_adopt(region, lfirst(lc)),
							list_length(columns) + 1, psprintf("k%d", number++), false));
	}
	number = 1;
	foreach (lc, builder->inputs)
	{
		columns = lappend(
			columns,
			makeTargetEntry((Expr *) derive_region_adopt(region, lfirst(lc)),
							list_length(columns) + 1, psprintf("a%d", number++), false));
	}
	return columns;
}

/*
 * Says why a fold has its rule, for explain.
 */
static char *
make_why(Stage *stage)
{
	bool extremum = false;
	bool scale = false;

	for (int i = 0; i < stage->nkeys; i++)
	{
		if (stage->keys[i].image_varies)
			return psprintf("equal values of group key %d may look different (type %s), "
							"so each touched group is computed again",
							i + 1, format_type_be(stage->keys[i].type));
	}
	for (int i = 0; i < stage->ncolumns; i++)
	{
		FoldColumn *column = &stage->columns[i];

		if (column->kind == FOLD_VALUE)
			return psprintf(
				"%s%s has no inverse, so each touched group is computed again",
				format_procedure(column->call->aggfnoid),
				column->call->aggdistinct != NIL ? " with DISTINCT" : "");
		extremum |= column->kind == FOLD_MIN || column->kind == FOLD_MAX;
		scale |= column->scale_guard;
	}
	if (extremum)
		return pstrdup("changes are added and subtracted; a group is computed again only "
					   "when its least or greatest value leaves");
	if (scale)
		return pstrdup("changes are added and subtracted; a group is computed again only "
					   "when a value with the most decimals leaves");
	return pstrdup("changes are added to and subtracted from the groups");
}

/*
 * Moves the builder's columns into the stage.  False if no table can have one; then *why
 * says so.
 */
static bool
take_columns(FoldBuilder *builder, Stage *stage, char **why)
{
	ListCell *lc;

	stage->ncolumns = list_length(builder->columns);
	stage->columns = palloc0_array(FoldColumn, stage->ncolumns);
	foreach (lc, builder->columns)
	{
		FoldColumn *column = (FoldColumn *) lfirst(lc);

		if (get_typtype(column->type) == TYPTYPE_PSEUDO)
		{
			*why = psprintf("%s gives type %s, which cannot be stored",
							format_procedure(column->call->aggfnoid),
							format_type_be(column->type));
			return false;
		}
		stage->columns[foreach_current_index(lc)] = *column;
		stage->always_recompute |= column->kind == FOLD_VALUE;
	}
	return true;
}

/*
 * Makes the aggregate stage of a query whose shape allows it, and gives the region its
 * columns.  NULL if types do not allow it; then *why says so.
 */
Stage *
derive_fold_make(Query *query, Region *region, char **why)
{
	FoldBuilder builder = {.query = query};
	Stage *stage = palloc0_object(Stage);
	ListCell *lc;

	collect_keys(&builder);
	stage->kind = STAGE_FOLD;
	stage->region = region;
	stage->outputs = make_outputs(&builder);
	stage->having = output_mutator(query->havingQual, &builder);
	region->columns = make_region_columns(&builder, region);

	stage->nkeys = list_length(builder.keys);
	stage->keys = palloc0_array(FoldKey, stage->nkeys);
	foreach (lc, builder.keys)
	{
		int i = foreach_current_index(lc);

		if (!derive_fold_make_key(&stage->keys[i], lfirst(lc), i + 1, why))
			return NULL;
		stage->always_recompute |= stage->keys[i].image_varies;
	}
	if (!take_columns(&builder, stage, why))
		return NULL;
	stage->rule = stage->always_recompute ? RULE_AFFECTED_KEYS : RULE_ALGEBRA;
	stage->why = make_why(stage);
	return stage;
}

/*
 * True if a touched group may have to be computed again from the sources, apart from
 * the rare case of NaN and infinity.
 */
bool
derive_fold_may_recompute(Stage *stage)
{
	bool result = stage->always_recompute;

	for (int i = 0; i < stage->ncolumns; i++)
	{
		FoldColumn *column = &stage->columns[i];

		result |= column->kind != FOLD_COUNT && column->kind != FOLD_SUM;
		result |= column->scale_guard;
	}
	return result;
}

/*
 * Returns the output columns that identify a row: one for each group expression, or
 * NIL if some group expression is not in the output.
 */
List *
derive_fold_view_key(Query *query, Stage *stage)
{
	List *key = NIL;

	for (int i = 0; i < list_length(group_expressions(query)); i++)
	{
		AttrNumber found = InvalidAttrNumber;
		ListCell *lc;

		foreach (lc, stage->outputs)
		{
			TargetEntry *tle = lfirst_node(TargetEntry, lc);

			if (found == InvalidAttrNumber && IsA(tle->expr, Var) &&
				((Var *) tle->expr)->varattno == i + 1)
				found = tle->resno;
		}
		if (found == InvalidAttrNumber)
			return NIL;
		key = lappend_int(key, found);
	}
	return key;
}
