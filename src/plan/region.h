/*-------------------------------------------------------------------------
 *
 * region.h
 *	  The linear region of a query: a tree of joins and its columns, see region.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_REGION_H
#define DERIVE_PLAN_REGION_H

#include "nodes/parsenodes.h"
#include "plan/plan.h"

/*
 * One appearance of a relation, a function or VALUES in FROM.  The latter two change
 * with the rows that they refer to, and never by themselves.
 */
typedef struct Occurrence
{
	RangeTblEntry *rte;
	int source;			/* index into the plan's sources, or -1 */
	char *alias;		/* unique in the region */
	Bitmapset *columns; /* attnos that the region reads, see derive_region_note_columns */
	int varno;			/* in the region's query, or 0 if it is inside EXISTS */
} Occurrence;

typedef enum RegionNodeKind
{
	NODE_LEAF,
	NODE_INNER, /* any number of children, in the order of FROM */
	NODE_LEFT,	/* two children, as the following */
	NODE_FULL,
	NODE_SEMI, /* rows of the first child that EXISTS in the second one */
	NODE_ANTI
} RegionNodeKind;

/* A node of the tree. */
typedef struct RegionNode
{
	RegionNodeKind kind;
	int number;			/* of a node that is no leaf, from 1 */
	int occurrence;		/* of a leaf, from 1 */
	List *children;		/* of RegionNode */
	List *quals;		/* conditions of the join, all of which must hold */
	Bitmapset *members; /* occurrences below it */
	Bitmapset *visible; /* those of them whose columns may be read above it */
	bool has_source;	/* some occurrence below it has a source */
} RegionNode;

/*
 * Expressions are over Vars whose varno is the occurrence's number, counted from 1,
 * and whose varattno is the occurrence's own.
 */
typedef struct Region
{
	int noccurrences;
	Occurrence *occurrences;
	int nnodes; /* that are no leaves */
	RegionNode *root;
	List *columns;	  /* TargetEntry list of what the region computes */
	const char *name; /* prefix of its CTEs' names; "" unless set by the caller */
	Query *query;	  /* the block it was made from, without references to joins */
	int *varno_map;	  /* [query varno] = occurrence number, or 0 */
	int nvarnos;
} Region;

extern Region *derive_region_make(Query *query, List **sources);
extern const char *derive_region_obstacle(Region *region, int *location);
extern List *derive_region_split_condition(Node *condition);
extern Query *derive_region_exists_block(Node *qual, bool *negated);
extern bool derive_region_is_values(RangeTblEntry *rte);
extern Node *derive_region_adopt(Region *region, Node *expression);
extern void derive_region_note_columns(Region *region, List *sources);
extern Bitmapset *derive_region_references(Node *expression);
extern List *derive_region_leaf_expressions(Region *region, int occurrence);

extern Query *derive_region_select(Region *region);
extern Query *derive_region_select_keys(Region *region, int nkeys, const FoldKey *keys,
										Bitmapset *nulls);
extern char *derive_region_old_name(PlanSource *source);
extern Query *derive_region_over_named(const char *name, List *column_names,
									   List *columns, Node *condition);
extern RangeTblEntry *
derive_region_named_rte(const char *name, const char *alias, List *column_names);

extern void derive_query_name_no_positions(Query *query);
extern char *derive_query_deparse(Query *query, bool pretty);

/*
 * Returns an expression over a relation's columns (varno 1) as text, palloc'd, likewise.
 */
extern char *derive_query_deparse_expression(Node *expression, Oid relid);

/* Returns the name of a collation, palloc'd, that means the same everywhere. */
extern char *derive_query_deparse_collation(Oid collation);

/* Returns the name of a type without modifier, with COLLATE if it is not the type's own. */
extern char *derive_query_deparse_type(Oid type, Oid collation);
extern char *derive_relation_name(Oid relid);

#endif /* DERIVE_PLAN_REGION_H */
