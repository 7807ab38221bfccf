/*-------------------------------------------------------------------------
 *
 * region_text.c
 *	  Parts of a region as text: expressions, select lists, items of FROM.
 *
 * Core's deparser prints whole queries.  So for each part a query is made up that has
 * it and nothing else, over a range table in which every way to name a row has an
 * entry; the text is what stands behind SELECT or FROM.  The entries are, in this
 * order,
 *
 *		each occurrence under its own alias, with the columns that the region reads,
 *		change_1, change_2, ...: the change of a node, with a column for each column
 *			that may be read above the node, see derive_text_column_name,
 *		flip and candidate: keys k1, k2, ... of a node's change, see algebra.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "change/layout.h"
#include "plan/region_text.h"

struct RegionText
{
	Region *region;
	bool pretty;
	List *rtable;
};

/* What turns a region's Vars into those of the made-up query. */
typedef struct RenameContext
{
	RegionText *text;
	const int *names;
	int sublevels_up;
} RenameContext;

/*
 * Returns the name of an occurrence's column.
 */
static char *
own_column_name(Occurrence *occurrence, int attno)
{
	if (occurrence->rte->rtekind == RTE_RELATION)
		return get_attname(occurrence->rte->relid, attno, false);
	return strVal(list_nth(occurrence->rte->eref->colnames, attno - 1));
}

/*
 * Returns the name that an occurrence's column has in the change of a node.
 */
char *
derive_text_column_name(int occurrence, int attno)
{
	return psprintf("v%d_%d", occurrence, attno);
}

/*
 * Returns the names of the columns in the change of a node.
 */
static List *
exposed_names(Region *region, RegionNode *node)
{
	List *names = NIL;
	int i = -1;

	while ((i = bms_next_member(node->visible, i)) >= 0)
	{
		int attno = -1;

		while ((attno = bms_next_member(region->occurrences[i - 1].columns, attno)) >= 0)
			names = lappend(names, makeString(derive_text_column_name(i, attno)));
	}
	return names;
}

/*
 * Returns the columns of a node's change as a target list.  The types of its Vars mean
 * nothing: they are there to be printed.
 */
List *
derive_text_exposed(Region *region, RegionNode *node)
{
	List *columns = NIL;
	int i = -1;

	while ((i = bms_next_member(node->visible, i)) >= 0)
	{
		int attno = -1;

		while ((attno = bms_next_member(region->occurrences[i - 1].columns, attno)) >= 0)
		{
			Var *var = makeVar(i, attno, INT4OID, -1, InvalidOid, 0);

			columns = lappend(columns,
							  makeTargetEntry((Expr *) var, list_length(columns) + 1,
											  derive_text_column_name(i, attno), false));
		}
	}
	return columns;
}

/*
 * Puts the entries of nodes into the range table, each at its place.
 */
static void
enter_nodes(RegionText *text, RegionNode *node)
{
	ListCell *lc;

	if (node->kind != NODE_LEAF)
	{
		char *name = psprintf("change_%d", node->number);

		lfirst(
			list_nth_cell(text->rtable, text->region->noccurrences + node->number - 1)) =
			derive_region_named_rte(name, name, exposed_names(text->region, node));
	}
	foreach (lc, node->children)
		enter_nodes(text, lfirst(lc));
}

/*
 * Makes the entry of an occurrence under its own alias.
 */
static RangeTblEntry *
make_own_rte(Occurrence *occurrence)
{
	List *names = NIL;
	int attno = -1;

	while ((attno = bms_next_member(occurrence->columns, attno)) >= 0)
		names = lappend(names, makeString(own_column_name(occurrence, attno)));
	return derive_region_named_rte(occurrence->alias, occurrence->alias, names);
}

/*
 * Makes ready for texts about a region whose columns have been noted.
 */
RegionText *
derive_text_begin(Region *region, bool pretty)
{
	RegionText *text = palloc0_object(RegionText);

	text->region = region;
	text->pretty = pretty;
	for (int i = 0; i < region->noccurrences; i++)
		text->rtable = lappend(text->rtable, make_own_rte(&region->occurrences[i]));
	/* Some numbers may be those of nodes that became part of others. */
	for (int i = 1; i <= region->nnodes; i++)
		text->rtable = lappend(text->rtable,
							   derive_region_named_rte("unused", "unused", NIL));
	enter_nodes(text, region->root);
	text->rtable = lappend(text->rtable, derive_region_named_rte("flip", "flip", NIL));
	text->rtable = lappend(text->rtable,
						   derive_region_named_rte("candidate", "candidate", NIL));
	return text;
}

/*
 * Returns the position of a column in the change of a node, from 1.
 */
static int
exposed_position(Region *region, int number, Var *var, List *rtable)
{
	RangeTblEntry *rte = list_nth(rtable, region->noccurrences + number - 1);
	char *name = derive_text_column_name(var->varno, var->varattno);
	ListCell *lc;

	foreach (lc, rte->eref->colnames)
	{
		if (strcmp(strVal(lfirst(lc)), name) == 0)
			return foreach_current_index(lc) + 1;
	}
	elog(ERROR, "column %s is not part of change_%d", name, number);
	return 0;
}

/*
 * Points the Vars of a region's expression to entries of the range table; a mutator.
 */
static Node *
rename_mutator(Node *node, RenameContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == context->sublevels_up)
	{
		Region *region = context->text->region;
		Var *var = copyObject((Var *) node);
		int number;

		if (var->varno > region->noccurrences)
			return (Node *) var;
		number = context->names[var->varno];
		if (number == 0)
			var->varattno = bms_member_index(region->occurrences[var->varno - 1].columns,
											 var->varattno) +
							1;
		else
		{
			var->varattno = exposed_position(region, number, var, context->text->rtable);
			var->varno = region->noccurrences + number;
		}
		var->varnosyn = var->varno;
		var->varattnosyn = var->varattno;
		return (Node *) var;
	}
	if (IsA(node, Query))
	{
		Query *query;

		context->sublevels_up++;
		query = query_tree_mutator((Query *) node, rename_mutator, context, 0);
		context->sublevels_up--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, rename_mutator, context);
}

/*
 * Returns an expression, or a list of such, in which each Var points to an entry of
 * the range table.
 */
static Node *
rename_vars(RegionText *text, Node *node, const int *names)
{
	RenameContext context = {text, names, 0};

	return rename_mutator(node, &context);
}

/*
 * Deparses a made-up query, and returns what stands behind a keyword.
 */
static char *
deparse_behind(RegionText *text, List *rtable, List *fromlist, List *columns,
			   const char *keyword)
{
	Query *query = makeNode(Query);
	char *sql;

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->rtable = rtable;
	query->jointree = makeFromExpr(fromlist, NULL);
	query->targetList = columns;
	sql = strstr(derive_query_deparse(query, text->pretty), keyword) + strlen(keyword);
	while (isspace((unsigned char) *sql))
		sql++;
	return sql;
}

/*
 * Returns a target list as text.
 */
char *
derive_text_select_list(RegionText *text, List *columns, const int *names)
{
	int resno = 1;
	ListCell *lc;

	if (columns == NIL)
		return "";
	columns = (List *) rename_vars(text, (Node *) columns, names);
	foreach (lc, columns)
		lfirst_node(TargetEntry, lc)->resno = resno++;
	return deparse_behind(text, copyObject(text->rtable), NIL, columns, "SELECT");
}

/*
 * Returns an expression as text that can stand on either side of AND.
 */
char *
derive_text_expression(RegionText *text, Node *expression, const int *names)
{
	Node *renamed = rename_vars(text, expression, names);
	char *sql = deparse_behind(
		text, copyObject(text->rtable), NIL,
		list_make1(makeTargetEntry((Expr *) renamed, 1, NULL, false)), "SELECT");

	return text->pretty && is_orclause(expression) ? psprintf("(%s)", sql) : sql;
}

/*
 * Returns a function or VALUES as an item of FROM, under its alias.
 */
char *
derive_text_leaf(RegionText *text, int number, const int *names)
{
	Occurrence *occurrence = &text->region->occurrences[number - 1];
	RangeTblEntry *rte = copyObject(occurrence->rte);
	List *rtable = copyObject(text->rtable);
	RangeTblRef *ref = makeNode(RangeTblRef);
	Const *one = makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(1),
						   false, true);

	rte->functions = (List *) rename_vars(text, (Node *) rte->functions, names);
	rte->values_lists = (List *) rename_vars(text, (Node *) rte->values_lists, names);
	rte->subquery = (Query *) rename_vars(text, (Node *) rte->subquery, names);
	rte->alias = makeAlias(occurrence->alias, copyObject(rte->eref->colnames));
	rte->eref = copyObject(rte->alias);
	rte->inFromCl = true;
	lfirst(list_nth_cell(rtable, number - 1)) = rte;
	ref->rtindex = number;
	return deparse_behind(text, rtable, list_make1(ref),
						  list_make1(makeTargetEntry((Expr *) one, 1, NULL, false)),
						  "FROM");
}

/*
 * Returns the alias of records that hold columns of a node, see region_text.h.
 */
char *
derive_text_records_alias(RegionText *text, RegionNode *node)
{
	if (node->kind == NODE_LEAF)
		return text->region->occurrences[node->occurrence - 1].alias;
	return psprintf("change_%d", node->number);
}

/*
 * Returns alias and columns of records that hold columns of a node, see region_text.h.
 */
char *
derive_text_records(RegionText *text, RegionNode *node, List *columns)
{
	StringInfoData sql;
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "%s(%s pg_catalog.int4",
					 quote_identifier(derive_text_records_alias(text, node)),
					 quote_identifier(DERIVE_SIGN_COLUMN));
	foreach (lc, columns)
	{
		Var *var = lfirst_node(Var, lc);
		char *name = node->kind == NODE_LEAF
						 ? own_column_name(&text->region->occurrences[var->varno - 1],
										   var->varattno)
						 : derive_text_column_name(var->varno, var->varattno);

		appendStringInfo(&sql, ", %s %s", quote_identifier(name),
						 derive_query_deparse_type(var->vartype, var->varcollid));
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * Returns names by which columns of a node are found in records, see region_text.h.
 */
int *
derive_text_names_in_records(RegionText *text, RegionNode *node, const int *names)
{
	int *copy = palloc_array(int, text->region->noccurrences + 1);
	int i = -1;

	memcpy(copy, names, sizeof(int) * (text->region->noccurrences + 1));
	while ((i = bms_next_member(node->members, i)) >= 0)
		copy[i] = node->kind == NODE_LEAF ? 0 : node->number;
	return copy;
}

/*
 * Makes a reference to column k<number> of "flip" or "candidate", which has the type of
 * an expression.
 */
Var *
derive_text_key_var(RegionText *text, bool candidate, int number, Node *expression)
{
	int varno = text->region->noccurrences + text->region->nnodes + (candidate ? 2 : 1);
	RangeTblEntry *rte = list_nth(text->rtable, varno - 1);

	while (list_length(rte->eref->colnames) < number)
		rte->eref->colnames = lappend(
			rte->eref->colnames,
			makeString(psprintf("k%d", list_length(rte->eref->colnames) + 1)));
	return makeVar(varno, number, exprType(expression), exprTypmod(expression),
				   exprCollation(expression), 0);
}
