/*-------------------------------------------------------------------------
 *
 * region_query.c
 *	  Regions made into queries again, and queries into text.
 *
 * The content of a region is asked for by the very block it was made from, with other
 * columns and perhaps a join to the keys that are wanted; its delta is made of text,
 * see algebra.c.
 *
 * A Query becomes text by core's own deparser.  It cannot print a named tuplestore, so
 * what is not a table is entered as a reference to a common table expression, which
 * prints as its bare name; when the text is parsed, the name may then be a CTE or a
 * tuplestore.  Everything else is printed qualified, because the search path holds
 * nothing but pg_catalog meanwhile; the text must be run with the same path.
 *
 * Deparsing opens the relations; the caller holds locks on them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "base/compat.h"
#include "plan/collations.h"
#include "plan/operators.h"
#include "plan/region.h"

/* What turns a region's expressions back into those of its query. */
typedef struct ReturnContext
{
	Region *region;
	int sublevels_up;
} ReturnContext;

/*
 * Returns the name of the CTE that holds a source's content before its delta.
 */
char *
derive_region_old_name(PlanSource *source)
{
	return psprintf("old_%s", source->delta_name + strlen("delta_"));
}

/*
 * Makes a range table entry that prints as a bare name, see the head of this file.
 */
RangeTblEntry *
derive_region_named_rte(const char *name, const char *alias, List *column_names)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_CTE;
	rte->ctename = pstrdup(name);
	rte->alias = strcmp(name, alias) != 0 ? makeAlias(alias, NIL) : NULL;
	rte->eref = makeAlias(alias, column_names);
	rte->inFromCl = true;
	return rte;
}

/*
 * Renumbers the Vars of a region's expression to those of its query; a mutator.
 */
static Node *
return_mutator(Node *node, ReturnContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);

		if (var->varlevelsup == context->sublevels_up)
		{
			var->varno = context->region->occurrences[var->varno - 1].varno;
			var->varnosyn = var->varno;
		}
		return (Node *) var;
	}
	if (IsA(node, Query))
	{
		Query *query;

		context->sublevels_up++;
		query = query_tree_mutator((Query *) node, return_mutator, context, 0);
		context->sublevels_up--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, return_mutator, context);
}

/*
 * Takes the names of joins out of a join tree, which hide the names of what is joined;
 * a walker.
 */
static bool
unname_joins_walker(Node *node, void *arg)
{
	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, JoinExpr))
	{
		((JoinExpr *) node)->alias = NULL;
		((JoinExpr *) node)->join_using_alias = NULL;
	}
	return expression_tree_walker(node, unname_joins_walker, arg);
}

/*
 * Takes out of a range table the names of joins, and all that FROM does not reach: a
 * view's query carries entries for OLD and NEW in some versions.
 */
static void
clean_range_table(Region *region, List *rtable)
{
	int varno = 0;
	ListCell *lc;

	foreach (lc, rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		varno++;
		if (rte->rtekind == RTE_JOIN)
		{
			rte->alias = NULL;
			rte->join_using_alias = NULL;
		}
		else if (region->varno_map[varno] == 0)
		{
			rte = makeNode(RangeTblEntry);
			rte->rtekind = RTE_RESULT;
			rte->eref = makeAlias("*RESULT*", NIL);
			lfirst(lc) = rte;
		}
	}
}

/*
 * Makes the query of a region's content at the snapshot.
 */
Query *
derive_region_select(Region *region)
{
	ReturnContext context = {region, 0};
	Query *query = makeNode(Query);
	int resno = 1;
	ListCell *lc;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = copyObject(region->query->rtable);
	query->jointree = copyObject(region->query->jointree);
	query->hasSubLinks = region->query->hasSubLinks;
	query->targetList = (List *) return_mutator((Node *) region->columns, &context);
	foreach (lc, query->targetList)
	{
		lfirst_node(TargetEntry, lc)->resno = resno++;
		lfirst_node(TargetEntry, lc)->ressortgroupref = 0;
	}
	clean_range_table(region, query->rtable);
	unname_joins_walker((Node *) query->jointree, NULL);
	return query;
}

/*
 * Coerces an expression to an operator's input type, if that is no pseudo-type.
 */
static Expr *
coerce_operand(Expr *operand, Oid type)
{
	Oid from = exprType((Node *) operand);

	if (from == type || IsPolymorphicType(type) || get_typtype(type) == TYPTYPE_PSEUDO)
		return operand;
	return (Expr *) coerce_to_target_type(NULL, (Node *) operand, from, type, -1,
										  COERCION_IMPLICIT, COERCE_IMPLICIT_CAST, -1);
}

/*
 * Makes the condition that a key expression equals the key of the same number in
 * "touched", which is the range table entry varno.
 */
static Expr *
make_key_condition(Expr *expression, const FoldKey *key, int varno, int number, bool null)
{
	Oid left_type;
	Oid right_type;
	Var *var;
	Expr *condition;

	if (null)
	{
		NullTest *test = makeNode(NullTest);

		test->arg = expression;
		test->nulltesttype = IS_NULL;
		test->argisrow = false;
		test->location = -1;
		return (Expr *) test;
	}

	var = makeVar(varno, number, key->type, key->typmod, key->collation, 0);
	op_input_types(key->eq_op, &left_type, &right_type);
	condition = make_opclause(
		key->eq_op, BOOLOID, false, coerce_operand(expression, left_type),
		coerce_operand((Expr *) var, right_type), InvalidOid, key->collation);
	set_opfuncid((OpExpr *) condition);
	return condition;
}

/*
 * Makes the query of a region's content restricted to the keys in the named
 * tuplestore "touched".  The first nkeys columns of the region are the keys; those
 * in nulls are NULL in all of the tuplestore's rows.
 */
Query *
derive_region_select_keys(Region *region, int nkeys, const FoldKey *keys,
						  Bitmapset *nulls)
{
	Query *query = derive_region_select(region);
	RangeTblRef *ref = makeNode(RangeTblRef);
	List *conditions = NIL;
	List *names = NIL;

	if (query->jointree->quals != NULL)
		conditions = list_make1(query->jointree->quals);
	ref->rtindex = list_length(query->rtable) + 1;
	for (int i = 0; i < nkeys; i++)
	{
		TargetEntry *column = list_nth_node(TargetEntry, query->targetList, i);

		names = lappend(names, makeString(keys[i].name));
		conditions = lappend(conditions, make_key_condition(copyObject(column->expr),
															&keys[i], ref->rtindex, i + 1,
															bms_is_member(i, nulls)));
	}
	query->rtable = lappend(query->rtable,
							derive_region_named_rte("touched", "touched", names));
	query->jointree->fromlist = lcons(ref, query->jointree->fromlist);
	query->jointree->quals = (Node *) make_ands_explicit(conditions);
	return query;
}

/*
 * Makes a query over one named relation, to whose columns Vars with varno 1 refer.
 */
Query *
derive_region_over_named(const char *name, List *column_names, List *columns,
						 Node *condition)
{
	RangeTblRef *ref = makeNode(RangeTblRef);
	Query *query = makeNode(Query);

	ref->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = list_make1(derive_region_named_rte(name, name, column_names));
	query->jointree = makeFromExpr(list_make1(ref), copyObject(condition));
	query->targetList = copyObject(columns);
	return query;
}

/*
 * True if core prints an expression as a number behind minus signs, which its parser takes
 * for a constant.
 */
static bool
is_negated_number(Node *node)
{
	OpExpr *op = (OpExpr *) node;

	if (!IsA(node, OpExpr) || list_length(op->args) != 1 ||
		op->opno >= FirstGenbkiObjectId || strcmp(get_opname(op->opno), "-") != 0)
		return false;
	return IsA(linitial(op->args), Const) || is_negated_number(linitial(op->args));
}

/*
 * Computes what is a number behind minus signs among expressions that rows are grouped or
 * sorted by; a walker.
 */
static bool
name_no_positions_walker(Node *node, void *arg)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (IsA(node, TargetEntry) && ((TargetEntry *) node)->ressortgroupref != 0 &&
		is_negated_number((Node *) ((TargetEntry *) node)->expr))
		((TargetEntry *) node)->expr = (Expr *) eval_const_expressions(
			NULL, (Node *) ((TargetEntry *) node)->expr);
	if (IsA(node, RangeTblEntry))
	{
		foreach (lc, derive_compat_group_exprs((RangeTblEntry *) node))
			if (is_negated_number(lfirst(lc)))
				lfirst(lc) = eval_const_expressions(NULL, lfirst(lc));
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, name_no_positions_walker, arg,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, name_no_positions_walker, arg);
}

/*
 * Changes a query so that its text says the same.  Core prints GROUP BY -1::integer as
 * GROUP BY (- 1), and -(-1::integer) as (- (- 1)); read again, these are the numbers of
 * columns.  Constants are printed with their type there.
 */
void
derive_query_name_no_positions(Query *query)
{
	name_no_positions_walker((Node *) query, NULL);
}

/*
 * Takes the type from the texts that mark a CYCLE: core prints TO 'Y'::text, which its parser
 * does not take; a walker.
 */
static bool
unlabel_marks_walker(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (IsA(node, CTECycleClause))
	{
		CTECycleClause *cycle = (CTECycleClause *) node;
		Node **marks[] = {&cycle->cycle_mark_value, &cycle->cycle_mark_default};

		for (int i = 0; i < lengthof(marks); i++)
		{
			Const *mark = castNode(Const, *marks[i]);

			if (mark->consttype == TEXTOID && !mark->constisnull)
				*marks[i] = (Node *) makeConst(
					UNKNOWNOID, -1, InvalidOid, -2,
					CStringGetDatum(TextDatumGetCString(mark->constvalue)), false, false);
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, unlabel_marks_walker, arg, 0);
	return expression_tree_walker(node, unlabel_marks_walker, arg);
}

/*
 * Makes settings such that every name outside pg_catalog is qualified in deparsed
 * text and no constant depends on a setting.  Returns what AtEOXact_GUC takes.
 */
static int
enter_deparse_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"quote_all_identifiers", "off"},
		{"datestyle", "ISO"},
		{"intervalstyle", "postgres"},
		{"extra_float_digits", "3"},
		{"bytea_output", "hex"},
	};
	int nest_level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

/*
 * Returns a query as text, palloc'd, that means the same everywhere.  pretty is for
 * human readers.
 */
char *
derive_query_deparse(Query *query, bool pretty)
{
	int nest_level;
	char *text;

	query = derive_collations_say(derive_operators_say(query));
	derive_query_name_no_positions(query);
	unlabel_marks_walker((Node *) query, NULL);
	nest_level = enter_deparse_settings();
	text = pg_get_querydef(query, pretty);
	AtEOXact_GUC(true, nest_level);
	return text;
}

/*
 * Returns an expression over a relation's columns as text, see region.h.
 */
char *
derive_query_deparse_expression(Node *expression, Oid relid)
{
	int nest_level = enter_deparse_settings();
	char *text = deparse_expression(
		expression, deparse_context_for(get_rel_name(relid), relid), false, false);

	AtEOXact_GUC(true, nest_level);
	return text;
}

/*
 * Returns a collation's name, see region.h.
 */
char *
derive_query_deparse_collation(Oid collation)
{
	int nest_level = enter_deparse_settings();
	char *text = generate_collation_name(collation);

	AtEOXact_GUC(true, nest_level);
	return text;
}

/*
 * Returns a type's name with its collation, see region.h.
 */
char *
derive_query_deparse_type(Oid type, Oid collation)
{
	int nest_level = enter_deparse_settings();
	char *text = format_type_extended(
		type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);

	if (OidIsValid(collation) && collation != get_typcollation(type))
		text = psprintf("%s COLLATE %s", text, generate_collation_name(collation));
	AtEOXact_GUC(true, nest_level);
	return text;
}

/*
 * Returns a relation's qualified and quoted name, palloc'd.
 */
char *
derive_relation_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}
