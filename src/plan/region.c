/*-------------------------------------------------------------------------
 *
 * region.c
 *	  Linear regions: trees of joins, taken out of a query.
 *
 * A linear region is what can be maintained by algebra: tables, functions and VALUES
 * that are joined in any way, conditions, and columns computed from a joined row.
 * The tree is made of one block of a query (FROM and WHERE):
 *
 *	- an INNER node stands for all that is joined by commas, inner joins and WHERE,
 *	  however nested, with all conditions in one list;
 *	- LEFT and FULL nodes stand for the outer joins; RIGHT is LEFT with its sides
 *	  exchanged;
 *	- a condition EXISTS or NOT EXISTS of WHERE becomes a SEMI or ANTI node on top of
 *	  the block's INNER node, with the subquery's block below it on the right.  Those
 *	  conditions of the subquery that mention the outer rows connect the two sides;
 *	- leaves are the occurrences of tables, functions and VALUES, counted from 1 over
 *	  the whole tree.
 *
 * So every node but a function is closed: nothing below it refers to rows that are
 * not, but for the conditions by which a SEMI or ANTI node connects its sides.  What
 * the syntax allows beyond that is found by derive_region_obstacle.
 *
 * References to columns of joins have been replaced by what they stand for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "plan/region.h"
#include "plan/sources.h"

/* A block of the query, and the blocks around it. */
typedef struct BlockScope
{
	struct BlockScope *outer;
	Query *query;
	int *varno_map;
	int nvarnos;
} BlockScope;

/* A region under construction. */
typedef struct RegionBuilder
{
	Region *region;
	List **sources;
} RegionBuilder;

/* What a mutator of expressions must know. */
typedef struct AdoptContext
{
	BlockScope *scope;
	int sublevels_up;
} AdoptContext;

/* What a walk over references collects. */
typedef struct ReferenceContext
{
	Bitmapset *occurrences;
	Region *region; /* whose occurrences note their columns, or NULL */
	int sublevels_up;
} ReferenceContext;

static RegionNode *make_block(RegionBuilder *builder, Query *query, BlockScope *scope);

/*
 * Renumbers the Vars of a query's expression; a mutator.  The name that the user
 * wrote for a column (varnosyn) goes, since it may be that of a join.
 */
static Node *
adopt_mutator(Node *node, AdoptContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var *var = copyObject((Var *) node);
		BlockScope *scope = context->scope;

		if (var->varlevelsup < context->sublevels_up)
			return (Node *) var;
		for (int i = context->sublevels_up; i < var->varlevelsup && scope != NULL; i++)
			scope = scope->outer;
		if (scope == NULL || var->varno >= scope->nvarnos ||
			scope->varno_map[var->varno] == 0)
			elog(ERROR, "unexpected column reference in a derived view's query");
		var->varno = scope->varno_map[var->varno];
		var->varlevelsup = context->sublevels_up;
		var->varnosyn = var->varno;
		var->varattnosyn = var->varattno;
		derive_clear_nullingrels(var);
		return (Node *) var;
	}
	if (IsA(node, Query))
	{
		Query *query;

		context->sublevels_up++;
		query = query_tree_mutator((Query *) node, adopt_mutator, context, 0);
		context->sublevels_up--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, adopt_mutator, context);
}

/*
 * Returns a copy of a block's expression over the region's own numbering.
 */
static Node *
adopt(BlockScope *scope, Node *expression)
{
	AdoptContext context = {scope, 0};

	return adopt_mutator(expression, &context);
}

/*
 * Returns a copy of an expression of the region's query over the region's own
 * numbering.
 */
Node *
derive_region_adopt(Region *region, Node *expression)
{
	BlockScope scope = {NULL, region->query, region->varno_map, region->nvarnos};

	return adopt(&scope, expression);
}

/*
 * Collects the occurrences that an expression refers to, and perhaps their columns;
 * a walker.
 */
static bool
reference_walker(Node *node, ReferenceContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;

		if (var->varlevelsup != context->sublevels_up)
			return false;
		context->occurrences = bms_add_member(context->occurrences, var->varno);
		if (context->region != NULL)
		{
			Occurrence *occurrence = &context->region->occurrences[var->varno - 1];

			occurrence->columns = bms_add_member(occurrence->columns, var->varattno);
		}
		return false;
	}
	if (IsA(node, Query))
	{
		context->sublevels_up++;
		query_tree_walker((Query *) node, reference_walker, context, 0);
		context->sublevels_up--;
		return false;
	}
	return expression_tree_walker(node, reference_walker, context);
}

/*
 * Returns the occurrences that an expression of a region refers to.
 */
Bitmapset *
derive_region_references(Node *expression)
{
	ReferenceContext context = {NULL, NULL, 0};

	reference_walker(expression, &context);
	return context.occurrences;
}

/*
 * True if a range table entry is VALUES, by itself or as a subquery.
 */
bool
derive_region_is_values(RangeTblEntry *rte)
{
	if (rte->rtekind == RTE_SUBQUERY)
	{
		Query *query = rte->subquery;

		if (list_length(query->rtable) != 1 || query->sortClause != NIL ||
			query->limitCount != NULL || query->limitOffset != NULL ||
			query->cteList != NIL || query->jointree->quals != NULL ||
			query->commandType != CMD_SELECT)
			return false;
		rte = linitial_node(RangeTblEntry, query->rtable);
		for (int i = 0; i < list_length(query->targetList); i++)
		{
			Var *var = (Var *) list_nth_node(TargetEntry, query->targetList, i)->expr;

			if (!IsA(var, Var) || var->varlevelsup != 0 || var->varattno != i + 1)
				return false;
		}
	}
	return rte->rtekind == RTE_VALUES;
}

/*
 * Returns the expressions that an occurrence is computed from: the calls of a
 * function, the lists of VALUES; NIL for a relation.
 */
List *
derive_region_leaf_expressions(Region *region, int occurrence)
{
	RangeTblEntry *rte = region->occurrences[occurrence - 1].rte;

	switch (rte->rtekind)
	{
		case RTE_FUNCTION:
			return rte->functions;
		case RTE_VALUES:
			return rte->values_lists;
		case RTE_SUBQUERY:
			return list_make1(rte->subquery);
		default:
			return NIL;
	}
}

/*
 * True if some occurrence before this one has a name, or it is one that algebra.c
 * gives to something else.
 */
static bool
alias_is_taken(Region *region, const char *alias)
{
	size_t prefix = strlen("change_");

	if ((strncmp(alias, "change_", prefix) == 0 &&
		 strspn(alias + prefix, "0123456789") == strlen(alias + prefix)) ||
		strcmp(alias, "flip") == 0 || strcmp(alias, "candidate") == 0)
		return true;
	for (int i = 0; i < region->noccurrences; i++)
	{
		if (region->occurrences[i].alias != NULL &&
			strcmp(region->occurrences[i].alias, alias) == 0)
			return true;
	}
	return false;
}

/*
 * Returns a name for an occurrence: the one it has in the query, with a number where
 * that is taken.
 */
static char *
choose_alias(Region *region, RangeTblEntry *rte)
{
	const char *wanted = rte->alias						? rte->alias->aliasname
						 : rte->rtekind == RTE_RELATION ? get_rel_name(rte->relid)
														: rte->eref->aliasname;
	char *alias = pstrdup(wanted);

	for (int i = 1; alias_is_taken(region, alias); i++)
		alias = makeObjectName(wanted, psprintf("%d", i), NULL);
	return alias;
}

/*
 * Makes a node without children.
 */
static RegionNode *
make_node(Region *region, RegionNodeKind kind)
{
	RegionNode *node = palloc0_object(RegionNode);

	node->kind = kind;
	if (kind != NODE_LEAF)
		node->number = ++region->nnodes;
	return node;
}

/*
 * Adds a child to a node.  An inner join below an INNER node becomes part of it.
 */
static void
add_child(RegionNode *node, RegionNode *child)
{
	if (node->kind == NODE_INNER && child->kind == NODE_INNER)
	{
		node->children = list_concat(node->children, child->children);
		node->quals = list_concat(node->quals, child->quals);
	}
	else
		node->children = lappend(node->children, child);
	node->members = bms_add_members(node->members, child->members);
	if ((node->kind != NODE_SEMI && node->kind != NODE_ANTI) ||
		list_length(node->children) == 1)
		node->visible = bms_add_members(node->visible, child->visible);
	node->has_source |= child->has_source;
}

/*
 * Makes the leaf of a range table entry.
 */
static RegionNode *
make_leaf(RegionBuilder *builder, BlockScope *scope, int varno)
{
	Region *region = builder->region;
	RegionNode *node = make_node(region, NODE_LEAF);
	RangeTblEntry *rte = copyObject(rt_fetch(varno, scope->query->rtable));
	Occurrence *occurrence;

	region->occurrences = repalloc(region->occurrences,
								   (region->noccurrences + 1) * sizeof(Occurrence));
	occurrence = &region->occurrences[region->noccurrences];
	memset(occurrence, 0, sizeof(Occurrence));
	occurrence->alias = choose_alias(region, rte);
	region->noccurrences++;
	node->occurrence = region->noccurrences;
	scope->varno_map[varno] = node->occurrence;

	rte->functions = (List *) adopt(scope, (Node *) rte->functions);
	rte->values_lists = (List *) adopt(scope, (Node *) rte->values_lists);
	rte->subquery = (Query *) adopt(scope, (Node *) rte->subquery);
	occurrence->rte = rte;
	occurrence->varno = scope->outer == NULL ? varno : 0;
	node->has_source = rte->rtekind == RTE_RELATION;
	occurrence->source = node->has_source ? derive_sources_intern(builder->sources, rte)
										  : -1;
	node->members = bms_make_singleton(node->occurrence);
	node->visible = bms_make_singleton(node->occurrence);
	return node;
}

/*
 * Returns a condition as a list of those that must hold, flat.
 */
List *
derive_region_split_condition(Node *condition)
{
	List *conditions = NIL;
	ListCell *lc;

	if (condition == NULL)
		return NIL;
	if (!is_andclause(condition))
		return list_make1(condition);
	foreach (lc, ((BoolExpr *) condition)->args)
		conditions = list_concat(conditions, derive_region_split_condition(lfirst(lc)));
	return conditions;
}

/*
 * Makes the node of an item of FROM.
 */
static RegionNode *
make_item(RegionBuilder *builder, BlockScope *scope, Node *item)
{
	JoinExpr *join;
	RegionNode *left, *right, *node;

	if (IsA(item, RangeTblRef))
	{
		int varno = ((RangeTblRef *) item)->rtindex;

		if (rt_fetch(varno, scope->query->rtable)->rtekind == RTE_RESULT)
			return make_node(builder->region, NODE_INNER);
		return make_leaf(builder, scope, varno);
	}

	join = castNode(JoinExpr, item);
	left = make_item(builder, scope, join->larg);
	right = make_item(builder, scope, join->rarg);
	node = make_node(builder->region, join->jointype == JOIN_INNER	? NODE_INNER
									  : join->jointype == JOIN_FULL ? NODE_FULL
																	: NODE_LEFT);
	add_child(node, join->jointype == JOIN_RIGHT ? right : left);
	add_child(node, join->jointype == JOIN_RIGHT ? left : right);
	node->quals = list_concat(
		node->quals,
		(List *) adopt(scope, (Node *) derive_region_split_condition(join->quals)));
	return node;
}

/*
 * True if a subquery is a block that can become part of a region: FROM and WHERE, and
 * clauses that make no difference to whether a row exists.
 */
static bool
is_plain_block(Query *query)
{
	Const *limit = (Const *) eval_const_expressions(NULL, query->limitCount);

	if (limit != NULL && (!IsA(limit, Const) || limit->constisnull ||
						  derive_sources_calls_replaceable(query->limitCount) ||
						  DatumGetInt64(limit->constvalue) < 1))
		return false;
	return query->commandType == CMD_SELECT && !query->hasAggs &&
		   !query->hasWindowFuncs && !query->hasTargetSRFs && query->groupClause == NIL &&
		   query->groupingSets == NIL && query->havingQual == NULL &&
		   !query->hasDistinctOn && query->limitOffset == NULL &&
		   query->rowMarks == NIL && query->cteList == NIL &&
		   query->setOperations == NULL;
}

/*
 * Returns the block of a condition "[NOT] EXISTS (block)", or NULL if the condition
 * has another form.  The block's FROM and WHERE are not looked at.
 */
Query *
derive_region_exists_block(Node *qual, bool *negated)
{
	SubLink *sublink = (SubLink *) qual;

	*negated = is_notclause(qual);
	if (*negated)
		sublink = (SubLink *) get_notclausearg((Expr *) qual);
	if (!IsA(sublink, SubLink) || sublink->subLinkType != EXISTS_SUBLINK ||
		!is_plain_block((Query *) sublink->subselect))
		return NULL;
	return (Query *) sublink->subselect;
}

/*
 * Moves those conditions of a subquery's block that mention rows around it to the
 * node that connects it.  They are in the INNER node below the block's own SEMI and
 * ANTI nodes.
 */
static void
lift_conditions(RegionNode *connector, RegionNode *block)
{
	Bitmapset *members = block->members;
	List *kept = NIL;
	ListCell *lc;

	while (block->kind != NODE_INNER)
		block = linitial(block->children);
	foreach (lc, block->quals)
	{
		if (bms_is_subset(derive_region_references(lfirst(lc)), members))
			kept = lappend(kept, lfirst(lc));
		else
			connector->quals = lappend(connector->quals, lfirst(lc));
	}
	block->quals = kept;
}

/*
 * Puts a SEMI or ANTI node on top of a block's node.
 */
static RegionNode *
add_exists(RegionBuilder *builder, BlockScope *scope, RegionNode *outer, Query *query,
		   bool negated)
{
	RegionNode *block = make_block(builder, query, scope);
	RegionNode *node = make_node(builder->region, negated ? NODE_ANTI : NODE_SEMI);

	add_child(node, outer);
	lift_conditions(node, block);
	add_child(node, block);
	return node;
}

/*
 * Makes the node of a block inside the given scope.
 */
static RegionNode *
make_block_in(RegionBuilder *builder, BlockScope *scope)
{
	RegionNode *inner = make_node(builder->region, NODE_INNER);
	RegionNode *node = inner;
	List *conditions = derive_region_split_condition(scope->query->jointree->quals);
	ListCell *lc;
	bool negated;

	foreach (lc, scope->query->jointree->fromlist)
		add_child(inner, make_item(builder, scope, lfirst(lc)));
	foreach (lc, conditions)
	{
		if (derive_region_exists_block(lfirst(lc), &negated) == NULL)
			inner->quals = lappend(inner->quals, adopt(scope, lfirst(lc)));
	}
	foreach (lc, conditions)
	{
		Query *query = derive_region_exists_block(lfirst(lc), &negated);

		if (query != NULL)
			node = add_exists(builder, scope, node, query, negated);
	}
	return node;
}

/*
 * Makes the node of a subquery's block.
 */
static RegionNode *
make_block(RegionBuilder *builder, Query *query, BlockScope *outer)
{
	BlockScope scope = {outer, copyObject(query)};

	scope.query->jointree = (FromExpr *) derive_flatten_join_vars(
		scope.query, (Node *) scope.query->jointree);
	scope.nvarnos = list_length(query->rtable) + 1;
	scope.varno_map = palloc0_array(int, scope.nvarnos);
	return make_block_in(builder, &scope);
}

/*
 * Makes the region of a query that has passed the gate and whose join alias Vars
 * are flattened.  Adds the relations to sources.  The region has no columns yet.
 */
Region *
derive_region_make(Query *query, List **sources)
{
	Region *region = palloc0_object(Region);
	RegionBuilder builder = {region, sources};
	BlockScope scope = {NULL, query};

	region->name = "";
	region->query = copyObject(query);
	region->nvarnos = list_length(query->rtable) + 1;
	region->varno_map = palloc0_array(int, region->nvarnos);
	region->occurrences = palloc0_array(Occurrence, 1);
	scope.varno_map = region->varno_map;
	scope.nvarnos = region->nvarnos;
	region->root = make_block_in(&builder, &scope);
	return region;
}

/*
 * Returns the occurrences that are mentioned below a node, in conditions and in the
 * arguments of functions.
 */
static Bitmapset *
mentioned_below(Region *region, RegionNode *node)
{
	Bitmapset *mentioned = derive_region_references((Node *) node->quals);
	ListCell *lc;

	if (node->kind == NODE_LEAF)
		return derive_region_references(
			(Node *) derive_region_leaf_expressions(region, node->occurrence));
	foreach (lc, node->children)
		mentioned = bms_join(mentioned, mentioned_below(region, lfirst(lc)));
	return mentioned;
}

/*
 * Finds a node below this one that has a source and is not closed, or NULL.
 */
static RegionNode *
find_open_node(Region *region, RegionNode *node)
{
	ListCell *lc;

	if (node->kind == NODE_LEAF || !node->has_source)
		return NULL;
	foreach (lc, node->children)
	{
		RegionNode *open = find_open_node(region, lfirst(lc));

		if (open != NULL)
			return open;
	}
	return bms_is_subset(mentioned_below(region, node), node->members) ? NULL : node;
}

/*
 * Returns the name of what keeps a region from being maintained by algebra, with its
 * location, or NULL: a reference out of a node, see the head of this file.
 */
const char *
derive_region_obstacle(Region *region, int *location)
{
	RegionNode *open = find_open_node(region, region->root);

	*location = -1;
	if (open == NULL)
		return NULL;
	if (open->quals != NIL)
		*location = exprLocation((Node *) open->quals);
	return "joins and EXISTS subqueries with references further out than one step";
}

/*
 * Notes which columns a node's conditions and functions read; a part of
 * derive_region_note_columns.
 */
static void
note_node(ReferenceContext *context, RegionNode *node)
{
	ListCell *lc;

	reference_walker((Node *) node->quals, context);
	if (node->kind == NODE_LEAF)
		reference_walker(
			(Node *) derive_region_leaf_expressions(context->region, node->occurrence),
			context);
	foreach (lc, node->children)
		note_node(context, lfirst(lc));
}

/*
 * Notes in the occurrences and sources which columns the region's conditions and
 * columns read.
 */
void
derive_region_note_columns(Region *region, List *sources)
{
	ReferenceContext context = {NULL, region, 0};

	note_node(&context, region->root);
	reference_walker((Node *) region->columns, &context);
	for (int i = 0; i < region->noccurrences; i++)
	{
		Occurrence *occurrence = &region->occurrences[i];
		PlanSource *source;

		if (occurrence->source < 0)
			continue;
		source = list_nth(sources, occurrence->source);
		source->columns = bms_add_members(source->columns, occurrence->columns);
	}
}
