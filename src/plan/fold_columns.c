/*-------------------------------------------------------------------------
 *
 * fold_columns.c
 *	  The state columns of an aggregate stage: from an aggregate to what is kept of it.
 *
 * An aggregate becomes an expression over the state row; on the way the inputs that the
 * region must compute and the columns of the state are collected in the builder.  See
 * the head of fold.c for what they are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "plan/fold_columns.h"
#include "plan/scale.h"
#include "plan/surgery.h"

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

/*
 * Returns the index of an expression in a list, or -1.
 */
int
derive_fold_find(List *list, Node *expression)
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
	filtered->defresult = (Expr *) derive_surgery_null(
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
	int index = derive_fold_find(builder->inputs, (Node *) expression);

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
Node *
derive_fold_state_var(int attno, Oid type, int32 typmod, Oid collation)
{
	return (Node *) makeVar(1, attno, type, typmod, collation, 0);
}

/*
 * Makes a reference to "n" of the state row.
 */
static Node *
make_n_var(FoldBuilder *builder)
{
	return derive_fold_state_var(list_length(builder->keys) + 1, INT8OID, -1, InvalidOid);
}

/*
 * Makes a reference to a state column.
 */
static Node *
make_column_var(FoldBuilder *builder, int index)
{
	FoldColumn *column = list_nth(builder->columns, index);

	return derive_fold_state_var(list_length(builder->keys) + 2 + index, column->type,
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
 * Returns the index of the column that counts the inputs of a sum that have as many
 * decimals as any can have, or -1 if that is not known.
 */
static int
intern_most(FoldBuilder *builder, Expr *argument, Expr *filter)
{
	int most = derive_scale_most((Node *) argument);
	Expr *one = (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
								   Int32GetDatum(1), false, true);
	Expr *scale, *has_most;

	if (most == DERIVE_SCALE_UNKNOWN)
		return -1;
	scale = (Expr *) makeFuncExpr(F_SCALE, INT4OID, list_make1(argument), InvalidOid,
								  InvalidOid, COERCE_EXPLICIT_CALL);
	has_most = make_opclause(Int4EqualOperator, BOOLOID, false, scale,
							 (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
												Int32GetDatum(most), false, true),
							 InvalidOid, InvalidOid);
	set_opfuncid((OpExpr *) has_most);
	one = filter_expression(one, has_most);
	if (filter != NULL)
		one = filter_expression(one, filter);
	return intern_count(builder, intern_expression(builder, one));
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
						 derive_scale_of(argument) == DERIVE_SCALE_UNKNOWN;
	column.most_column = column.scale_guard
							 ? intern_most(builder, (Expr *) argument, aggref->aggfilter)
							 : -1;
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
	int key = derive_fold_find(builder->keys, (Node *) argument);

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
	if (node != NULL && derive_fold_find(builder->keys, node) >= 0)
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
Node *
derive_fold_aggregate(FoldBuilder *builder, Aggref *aggref)
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
