/*-------------------------------------------------------------------------
 *
 * region.c
 *	  Linear regions: taken out of a query, and made into queries again.
 *
 * A linear region is what can be maintained by algebra: a list of tables that are
 * joined by inner joins, conditions, and columns computed from a joined row.  It is
 * flat: ON, USING and WHERE conditions are one list, references to columns of joins
 * are replaced by what they stand for, and the tables are counted from 1.
 *
 * The other way round, a region becomes a Query in which each table stands for
 * itself, for its content before the delta, or for the delta, and the Query becomes
 * text by core's own deparser.  The deparser cannot print a named tuplestore, so
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

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "base/compat.h"
#include "change/layout.h"
#include "plan/region.h"

#define INT4_MULTIPLY_OPERATOR 514 /* integer * integer */

/* How Vars of a region change when an occurrence's form does. */
typedef struct TermContext
{
	Region *region;
	List *sources;
	const OccurrenceForm *forms;
} TermContext;

/*
 * Returns the index of a relation in the list of sources, adding it if need be.
 */
static int
intern_source(List **sources, RangeTblEntry *rte)
{
	PlanSource *source;
	int index = 0;
	ListCell *lc;

	foreach (lc, *sources)
	{
		source = (PlanSource *) lfirst(lc);
		if (source->relid == rte->relid)
		{
			source->only |= !rte->inh;
			return index;
		}
		index++;
	}

	source = palloc0_object(PlanSource);
	source->relid = rte->relid;
	source->only = !rte->inh;
	*sources = lappend(*sources, source);
	return index;
}

/*
 * Adds the tables and conditions below a node of a join tree to a region.
 */
static void
collect_join_tree(Region *region, Query *query, Node *node, List **sources)
{
	if (IsA(node, RangeTblRef))
	{
		int varno = ((RangeTblRef *) node)->rtindex;
		Occurrence *occurrence = &region->occurrences[region->noccurrences++];

		occurrence->rte = copyObject(rt_fetch(varno, query->rtable));
		occurrence->source = intern_source(sources, occurrence->rte);
		region->varno_map[varno] = region->noccurrences;
	}
	else if (IsA(node, JoinExpr))
	{
		JoinExpr *join = (JoinExpr *) node;

		Assert(join->jointype == JOIN_INNER);
		collect_join_tree(region, query, join->larg, sources);
		collect_join_tree(region, query, join->rarg, sources);
		if (join->quals != NULL)
			region->quals = lappend(region->quals, join->quals);
	}
	else
	{
		FromExpr *from = castNode(FromExpr, node);
		ListCell *lc;

		foreach (lc, from->fromlist)
			collect_join_tree(region, query, lfirst(lc), sources);
		if (from->quals != NULL)
			region->quals = lappend(region->quals, from->quals);
	}
}

/*
 * Makes the region of a query that has passed the gate and whose join alias Vars
 * are flattened.  Adds the relations to sources.  The region has no columns yet.
 */
Region *
derive_region_make(Query *query, List **sources)
{
	Region *region = palloc0_object(Region);

	region->nvarnos = list_length(query->rtable) + 1;
	region->varno_map = palloc0_array(int, region->nvarnos);
	region->occurrences = palloc0_array(Occurrence, region->nvarnos);
	collect_join_tree(region, query, (Node *) query->jointree, sources);
	region->quals = (List *) derive_region_adopt(region, (Node *) region->quals);
	return region;
}

/*
 * Renumbers the Vars of a query's expression; a mutator.  The name that the user
 * wrote for a column (varnosyn) goes, since it may be that of a join.
 */
static Node *
adopt_mutator(Node *node, Region *region)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);

		if (var->varlevelsup != 0 || var->varno >= region->nvarnos ||
			region->varno_map[var->varno] == 0)
			elog(ERROR, "unexpected column reference in a derived view's query");
		var->varno = region->varno_map[var->varno];
		var->varnosyn = var->varno;
		var->varattnosyn = var->varattno;
		return (Node *) var;
	}
	return expression_tree_mutator(node, adopt_mutator, region);
}

/*
 * Returns a copy of a query's expression over the region's own numbering.
 */
Node *
derive_region_adopt(Region *region, Node *expression)
{
	return adopt_mutator(expression, region);
}

/*
 * Notes in the sources which columns the region's conditions and columns read.
 */
void
derive_region_note_columns(Region *region, List *sources)
{
	List *vars = list_concat(pull_var_clause((Node *) region->quals, 0),
							 pull_var_clause((Node *) region->columns, 0));
	ListCell *lc;

	foreach (lc, vars)
	{
		Var *var = lfirst_node(Var, lc);
		PlanSource *source = list_nth(sources,
									  region->occurrences[var->varno - 1].source);

		source->columns = bms_add_member(source->columns, var->varattno);
	}
}

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
static RangeTblEntry *
make_named_rte(const char *name, const char *alias, List *column_names)
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
 * Makes the range table entry of an occurrence in a form.
 */
static RangeTblEntry *
make_occurrence_rte(Occurrence *occurrence, PlanSource *source, OccurrenceForm form)
{
	List *names = list_make1(makeString(DERIVE_SIGN_COLUMN));
	const char *alias;
	int attno = -1;

	if (form == FORM_NEW)
		return copyObject(occurrence->rte);

	while ((attno = bms_next_member(source->columns, attno)) >= 0)
		names = lappend(names, makeString(get_attname(source->relid, attno, false)));
	alias = occurrence->rte->alias ? occurrence->rte->alias->aliasname
								   : get_rel_name(source->relid);
	return make_named_rte(form == FORM_DELTA ? source->delta_name
											 : derive_region_old_name(source),
						  alias, names);
}

/*
 * Points Vars of occurrences that do not stand for themselves to the columns of
 * their delta, where the sign comes first; a mutator.
 */
static Node *
term_mutator(Node *node, TermContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && context->forms[((Var *) node)->varno - 1] != FORM_NEW)
	{
		Var *var = copyObject((Var *) node);
		Occurrence *occurrence = &context->region->occurrences[var->varno - 1];
		PlanSource *source = list_nth(context->sources, occurrence->source);

		var->varattno = bms_member_index(source->columns, var->varattno) + 2;
		var->varattnosyn = var->varattno;
		return (Node *) var;
	}
	return expression_tree_mutator(node, term_mutator, context);
}

/*
 * Makes the sign of a joined row: the product of the signs of its parts.
 */
static Expr *
make_sign(Region *region, const OccurrenceForm *forms)
{
	Expr *sign = NULL;

	for (int i = 0; i < region->noccurrences; i++)
	{
		Expr *factor;

		if (forms[i] == FORM_NEW)
			continue;
		factor = (Expr *) makeVar(i + 1, 1, INT4OID, -1, InvalidOid, 0);
		if (sign == NULL)
			sign = factor;
		else
		{
			sign = make_opclause(INT4_MULTIPLY_OPERATOR, INT4OID, false, sign, factor,
								 InvalidOid, InvalidOid);
			((OpExpr *) sign)->opfuncid = F_INT4MUL;
		}
	}
	return sign;
}

/*
 * Makes a SELECT out of its parts.
 */
static Query *
make_select(List *rtable, List *fromlist, List *quals, List *columns)
{
	Query *query = makeNode(Query);
	int resno = 1;
	ListCell *lc;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = rtable;
	query->jointree = makeFromExpr(fromlist, (Node *) make_ands_explicit(quals));
	if (quals == NIL)
		query->jointree->quals = NULL;
	foreach (lc, columns)
		lfirst_node(TargetEntry, lc)->resno = resno++;
	query->targetList = columns;
	return query;
}

/*
 * Makes the query of one term of a region's delta: column "__sign", then the
 * region's columns.  The delta comes first in FROM, for readers.
 */
Query *
derive_region_term(Region *region, List *sources, const OccurrenceForm *forms)
{
	TermContext context = {region, sources, forms};
	List *columns = (List *) term_mutator((Node *) region->columns, &context);
	List *quals = (List *) term_mutator((Node *) region->quals, &context);
	List *rtable = NIL;
	List *fromlist = NIL;
	Expr *sign = make_sign(region, forms);

	for (int i = 0; i < region->noccurrences; i++)
	{
		Occurrence *occurrence = &region->occurrences[i];
		RangeTblRef *ref = makeNode(RangeTblRef);

		ref->rtindex = i + 1;
		rtable = lappend(
			rtable, make_occurrence_rte(occurrence, list_nth(sources, occurrence->source),
										forms[i]));
		fromlist = forms[i] == FORM_DELTA ? lcons(ref, fromlist) : lappend(fromlist, ref);
	}
	if (sign != NULL)
		columns = lcons(makeTargetEntry(sign, 1, pstrdup(DERIVE_SIGN_COLUMN), false),
						columns);
	return make_select(rtable, fromlist, quals, columns);
}

/*
 * Makes the query of a region's content at the snapshot.
 */
Query *
derive_region_select(Region *region)
{
	List *rtable = NIL;
	List *fromlist = NIL;

	for (int i = 0; i < region->noccurrences; i++)
	{
		RangeTblRef *ref = makeNode(RangeTblRef);

		ref->rtindex = i + 1;
		rtable = lappend(rtable, copyObject(region->occurrences[i].rte));
		fromlist = lappend(fromlist, ref);
	}
	return make_select(rtable, fromlist, copyObject(region->quals),
					   copyObject(region->columns));
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
	List *quals = copyObject(region->quals);
	List *names = NIL;

	ref->rtindex = region->noccurrences + 1;
	for (int i = 0; i < nkeys; i++)
	{
		TargetEntry *column = list_nth_node(TargetEntry, region->columns, i);

		names = lappend(names, makeString(keys[i].name));
		quals = lappend(quals,
						make_key_condition(copyObject(column->expr), &keys[i],
										   ref->rtindex, i + 1, bms_is_member(i, nulls)));
	}
	query->rtable = lappend(query->rtable, make_named_rte("touched", "touched", names));
	query->jointree->fromlist = lcons(ref, query->jointree->fromlist);
	query->jointree->quals = (Node *) make_ands_explicit(quals);
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

	ref->rtindex = 1;
	return make_select(
		list_make1(make_named_rte(name, name, column_names)), list_make1(ref),
		condition ? list_make1(copyObject(condition)) : NIL, copyObject(columns));
}

/*
 * Returns a query as text, palloc'd, in which every name outside pg_catalog is
 * qualified and no constant depends on a setting.  pretty is for human readers.
 */
char *
derive_query_deparse(Query *query, bool pretty)
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
	char *text;

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	text = pg_get_querydef(query, pretty);
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
