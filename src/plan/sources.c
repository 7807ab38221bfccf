/*-------------------------------------------------------------------------
 *
 * sources.c
 *	  Which relations and columns a query reads, at any depth.
 *
 * A query may read a relation in its FROM clause, in a subquery there or in an
 * expression, in a common table expression, or in a branch of a set operation.  All
 * that counts is which relations those are, and which of their columns some
 * expression mentions: whatever the query does with them, its result changes only
 * when one of these does.
 *
 * Only range table entries that a join tree (or a set operation) reaches are looked
 * at, since the query of an ordinary view carries entries for OLD and NEW in some
 * versions, which mean nothing.  A reference to a column of a join is one to what
 * it stands for; subqueries and common table expressions are looked into as a
 * whole, whichever of their columns are used.
 *
 * Nothing is opened; columns of whole rows come from the syscache.
 *
 * A result also depends on functions; those that may be replaced are told from others here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/view_catalog.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "plan/sources.h"

/* What the walk over a query keeps. */
typedef struct SourceWalk
{
	List *queries; /* the present query, then those around it */
	List *sources; /* of PlanSource */
	List *found;   /* of Query */
	bool whole_rows;
} SourceWalk;

/*
 * Visits the table columns that a column of a range table entry stands for.
 */
static void
visit_column(List *queries, int varno, AttrNumber attno, Var *var, ColumnVisitor visit,
			 void *arg)
{
	RangeTblEntry *rte = rt_fetch(varno, ((Query *) linitial(queries))->rtable);
	List *columns = NIL;
	ListCell *lc;

	if (rte->rtekind == RTE_RELATION)
		visit(rte, attno, var, arg);
	if (rte->rtekind != RTE_JOIN)
		return;

	columns = attno == InvalidAttrNumber
				  ? rte->joinaliasvars
				  : list_make1(list_nth(rte->joinaliasvars, attno - 1));
	foreach (lc, columns)
	{
		ListCell *lv;

		foreach (lv, pull_var_clause((Node *) lfirst(lc), 0))
		{
			Var *part = lfirst_node(Var, lv);

			visit_column(queries, part->varno, part->varattno, var, visit, arg);
		}
	}
}

/*
 * Visits the table columns that a Var stands for.  queries: the query that the Var
 * is in, then the queries around it, innermost first.
 */
void
derive_sources_visit_var(List *queries, Var *var, ColumnVisitor visit, void *arg)
{
	List *own = queries;

	if (var->varlevelsup >= list_length(queries))
		elog(ERROR, "unexpected column reference in a derived view's query");
	if (var->varlevelsup > 0)
		own = list_copy_tail(queries, var->varlevelsup);
	visit_column(own, var->varno, var->varattno, var, visit, arg);
}

/*
 * Returns the index of a relation in a list of sources, see sources.h.
 */
int
derive_sources_intern(List **sources, RangeTblEntry *rte)
{
	bool only = !rte->inh && !derive_catalog_has_view(rte->relid);
	PlanSource *source;
	ListCell *lc;

	foreach (lc, *sources)
	{
		source = (PlanSource *) lfirst(lc);
		if (source->relid == rte->relid && source->only == only)
			return foreach_current_index(lc);
	}
	source = palloc0_object(PlanSource);
	source->relid = rte->relid;
	source->only = only;
	*sources = lappend(*sources, source);
	return list_length(*sources) - 1;
}

/*
 * Returns the source of a relation, adding it if it is new.
 */
static PlanSource *
intern_source(SourceWalk *walk, RangeTblEntry *rte)
{
	int index = derive_sources_intern(&walk->sources, rte);

	return (PlanSource *) list_nth(walk->sources, index);
}

/*
 * True if a relation is read with its inheritance children, see sources.h.
 */
bool
derive_sources_is_tree(RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->inh && rte->relkind == RELKIND_RELATION &&
		   has_subclass(rte->relid);
}

/*
 * Returns all columns of a relation.
 */
static Bitmapset *
all_columns(Oid relid)
{
	Bitmapset *columns = NULL;
	HeapTuple relation = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int natts;

	if (!HeapTupleIsValid(relation))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	natts = ((Form_pg_class) GETSTRUCT(relation))->relnatts;
	ReleaseSysCache(relation);
	for (int attno = 1; attno <= natts; attno++)
	{
		HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										  Int16GetDatum(attno));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (!((Form_pg_attribute) GETSTRUCT(tuple))->attisdropped)
			columns = bms_add_member(columns, attno);
		ReleaseSysCache(tuple);
	}
	return columns;
}

/*
 * Notes a column in its source (a ColumnVisitor).
 */
static void
note_column(RangeTblEntry *rte, AttrNumber attno, Var *var, void *arg)
{
	SourceWalk *walk = (SourceWalk *) arg;
	PlanSource *source;

	if (derive_sources_is_silent(rte->relid))
		return;
	source = intern_source(walk, rte);
	if (attno > 0)
		source->columns = bms_add_member(source->columns, attno);
	if (attno == InvalidAttrNumber)
	{
		walk->whole_rows = true;
		source->columns = bms_union(source->columns, all_columns(rte->relid));
	}
}

/*
 * Walks over a query and all below it.
 */
static bool
collect_walker(Node *node, SourceWalk *walk)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		bool result;

		walk->queries = lcons(node, walk->queries);
		result = query_tree_walker((Query *) node, collect_walker, walk,
								   QTW_IGNORE_JOINALIASES);
		walk->queries = list_delete_first(walk->queries);
		return result;
	}
	if (IsA(node, RangeTblRef))
	{
		Query *query = (Query *) linitial(walk->queries);
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable);

		if (rte->rtekind == RTE_RELATION && !derive_sources_is_silent(rte->relid))
			intern_source(walk, rte)->sampled |= rte->tablesample != NULL;
		return false;
	}
	if (IsA(node, Var))
		derive_sources_visit_var(walk->queries, (Var *) node, note_column, walk);
	return expression_tree_walker(node, collect_walker, walk);
}

/*
 * True if a relation's changes are not in the log, see sources.h.
 */
bool
derive_sources_is_silent(Oid relid)
{
	char kind = get_rel_relkind(relid);

	return kind == RELKIND_FOREIGN_TABLE || kind == RELKIND_MATVIEW;
}

/*
 * Returns the sources of a query and of all its subqueries, but for silent ones, without names for
 * their
 * deltas, in order of appearance.
 */
List *
derive_sources_collect(Query *query)
{
	SourceWalk walk = {0};

	collect_walker((Node *) query, &walk);
	return walk.sources;
}

/*
 * True if a query mentions a table's row as a whole.
 */
bool
derive_sources_read_whole_rows(Query *query)
{
	SourceWalk walk = {0};

	collect_walker((Node *) query, &walk);
	return walk.whole_rows;
}

/*
 * Adds each query to a list.
 */
static bool
query_walker(Node *node, SourceWalk *walk)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		walk->found = lappend(walk->found, node);
		return query_tree_walker((Query *) node, query_walker, walk, 0);
	}
	return expression_tree_walker(node, query_walker, walk);
}

/*
 * Returns a query and all its subqueries, see plan.h.
 */
List *
derive_plan_queries(Query *query)
{
	SourceWalk walk = {0};

	query_walker((Node *) query, &walk);
	return walk.found;
}

/*
 * Returns the relations of a query whose changes are not in the log, see sources.h.
 */
List *
derive_sources_silent(Query *query)
{
	List *relids = NIL;
	ListCell *lc, *lr;

	foreach (lc, derive_plan_queries(query))
		foreach (lr, ((Query *) lfirst(lc))->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lr);

			if (rte->rtekind == RTE_RELATION && derive_sources_is_silent(rte->relid))
				relids = list_append_unique_oid(relids, rte->relid);
		}
	return relids;
}

/*
 * True if a function is not built in; a check_function_callback.
 */
static bool
is_replaceable(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/*
 * True if an expression calls what may be replaced by another function, see sources.h; a
 * walker.
 */
static bool
replaceable_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_replaceable, context) ||
		   expression_tree_walker(node, replaceable_walker, context);
}

bool
derive_sources_calls_replaceable(Node *expression)
{
	return replaceable_walker(expression, NULL);
}
