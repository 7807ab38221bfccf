/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  How one view is maintained: sources, a chain of stages, and their SQL.
 *
 * A plan is made from the view's analysed Query and from nothing else, so that
 * it can be made again at any time.  It holds no relation open.  What lies in it
 * is allocated in the context that was current when it was made.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_PLAN_H
#define DERIVE_PLAN_PLAN_H

#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"

typedef enum StageRule
{
	RULE_ALGEBRA,
	RULE_AFFECTED_KEYS,
	RULE_RECURSION,
	RULE_RECOMPUTE
} StageRule;

/* A relation that the query reads, however often; with and without ONLY are two. */
typedef struct PlanSource
{
	Oid relid;
	Bitmapset *columns; /* attnums that the query mentions (plain, > 0) */
	bool only;			/* read without its inheritance children: a source of its own */
	bool keys_only;		/* its delta has keys (change/layout.h), which are the columns */
	bool sampled;		/* TABLESAMPLE: where its rows lie matters, too */
	char
		*delta_name; /* name of its delta in SQL: "delta_<relname>", unique in the plan */
} PlanSource;

/* One column of an aggregate stage's state, behind the keys and "n". */
typedef enum FoldKind
{
	FOLD_COUNT, /* bigint.  delta query: net count (1 column) */
	FOLD_SUM,	/* NULL when no input.  delta query: plus, minus (2 columns of its type);
								 * with scale_guard a third: max scale of the minus side (int4) */
	FOLD_MIN,	/* delta query: plus, minus (least of each side) */
	FOLD_MAX,	/* delta query: plus, minus (greatest of each side) */
	FOLD_VALUE	/* the aggregate's result itself: no inverse, each touched group is
								 * recomputed.  delta query: no column */
} FoldKind;

typedef struct FoldColumn
{
	FoldKind kind;
	char *name; /* column of the state table */
	Oid type;
	int32 typmod;
	Oid collation;
	Oid plus_fn;	  /* FOLD_SUM: type + type -> type */
	Oid minus_fn;	  /* FOLD_SUM: type - type -> type */
	Oid cmp_fn;		  /* FOLD_MIN, FOLD_MAX: btree comparison */
	int count_column; /* FOLD_SUM: index into columns[] of the FOLD_COUNT of its non-null
								 * inputs, or -1 if that is "n" itself */
	bool special_guard; /* FOLD_SUM over numeric: recompute on NaN and infinity */
	bool scale_guard;	/* FOLD_SUM over numeric of unknown scale, see FOLD_SUM */
	int most_column; /* with scale_guard: index into columns[] of the FOLD_COUNT of inputs
								 * that have as many decimals as any can have, or -1 */
	int input;		 /* private to src/plan: which input of the region it folds, or -1 */
	struct Aggref
		*call; /* private to src/plan: the aggregate over the region's columns */
} FoldColumn;

typedef struct FoldKey
{
	char *name; /* column of the state table or of "touched": k1, k2, ... */
	Oid type;
	int32 typmod;
	Oid collation;
	Oid eq_op;		   /* the type's default btree equality */
	bool nullable;	   /* false only if provably not null */
	bool image_varies; /* equal values may look different (1.0 and 1.00): then
								 * always_recompute is set, and the recomputed group's key counts */
} FoldKey;

typedef enum StageKind
{
	STAGE_LINEAR,	 /* filters, projections, joins; UNION ALL of such */
	STAGE_FOLD,		 /* GROUP BY or DISTINCT over a linear region */
	STAGE_KEYS,		 /* window functions or DISTINCT ON over a linear region; rows of one
					  * table whose changes come as keys */
	STAGE_FIRST,	 /* ORDER BY ... LIMIT of one relation, see first.c */
	STAGE_RECURSION, /* a recursive WITH query, which has a delta while rows only arrive */
	STAGE_RECOMPUTE	 /* any query: computed anew and compared */
} StageKind;

/* The key of its only source that a stage follows, instead of rows: see follow_keys.c. */
typedef struct FollowedKey
{
	int nkeys;
	FoldKey *keys;
	List *lookup;  /* output attnos (int list) that show it */
	List *columns; /* private to src/plan: TargetEntry list, over the region */
} FollowedKey;

typedef struct Stage
{
	StageKind kind;
	StageRule rule;
	char *why; /* one sentence for explain: why this rule */

	/*
	 * STAGE_FOLD: the group keys.  STAGE_KEYS: what splits the result into parts that do
	 * not depend on each other; lookup has the output attnos (int list) of the same
	 * expressions.
	 */
	int nkeys;
	FoldKey *keys;
	List *lookup;
	FollowedKey *followed; /* STAGE_KEYS: NULL unless the delta of its source has keys */

	/* STAGE_FOLD only.  State row: keys, "n" bigint, columns. */
	int ncolumns;
	FoldColumn *columns;
	bool always_recompute; /* some column is FOLD_VALUE */
	List *outputs; /* TargetEntry list of the view's columns; Vars with varno 1 refer to
								 * the state row's attributes */
	Node *having;  /* over the state row, or NULL; implicit-AND already made one expr */

	struct Region *region; /* private to src/plan; NULL: branches or STAGE_RECOMPUTE */
	List *branches;		   /* private to src/plan, UNION ALL: of Region */
	Query *block; /* private to src/plan, STAGE_KEYS: the query, without join Vars */
	struct Recursion *recursion; /* private to src/plan, STAGE_RECURSION only */
} Stage;

typedef struct ViewPlan
{
	List *sources;	 /* of PlanSource */
	Stage *stage;	 /* the block's */
	StageRule rule;	 /* worst of the chain */
	List *key;		 /* output attnos (int list) that identify a row; NIL: none, then rows
								 * are found by their hash.  See single_row. */
	bool single_row; /* aggregate without GROUP BY: exactly one row (or none by HAVING) */
	Query *query;	 /* what the plan was made from */
	Oid view;		 /* relation with the view's rows; set by who has one */
	Oid state;		 /* relation with a fold's state rows; likewise */
} ViewPlan;

/*
 * Makes a plan from an analysed, not rewritten Query (SELECT).  ereports, with the
 * construct's name, its position (errposition in source_text, when that is not NULL
 * and locations are known) and a hint, if the query cannot be maintained.
 */
extern ViewPlan *derive_plan_make(Query *query, const char *source_text);

/*
 * True if a plan reads the rows of deltas.  If not, it only needs to hear that something
 * changed: derive_plan_recompute_sql is all that it runs.
 */
extern bool derive_plan_reads_deltas(ViewPlan *plan);

/*
 * Returns the output attnos (int list) that show columns of the only table that a plan
 * reads, if it is one that derive_plan_follow_keys takes, and all are shown; else NIL.
 */
extern List *derive_plan_key_columns(ViewPlan *plan, Bitmapset *attnums);

/*
 * Makes a plan that reads one table and whose rows tell what the old ones were follow the
 * keys of changed rows, which need not be logged in full then: columns are the output attnos
 * of the key.  Does nothing if there are none, or the plan is another one.
 */
extern void derive_plan_follow_keys(ViewPlan *plan, List *columns);

/* Returns a query and all its subqueries at any depth (List of Query). */
extern List *derive_plan_queries(Query *query);

/*
 * SQL of a stage's delta when exactly the sources in changed (indexes into
 * plan->sources) have one.  palloc'd.
 * STAGE_LINEAR, STAGE_RECURSION (only if rows do nothing but arrive, and plan->view is
 *   set): columns: count int8 (never 0), image bytea (derive_state.row_image),
 *   then the plan's key columns; rows ordered by key columns, then count: for one key,
 *   the rows that leave (negative) come before the rows that arrive.
 * STAGE_FOLD: keys, n int8 (net number of rows, may be 0), then per column what its
 *   kind says; one row per touched group.
 * STAGE_KEYS: k1 .. kn, the keys of all parts that may have changed, each once.
 */
extern char *derive_plan_delta_sql(ViewPlan *plan, Bitmapset *changed);

/*
 * SQL of a stage's whole content at the snapshot.  STAGE_FOLD: state rows (keys, n,
 * columns).  Else: the view's rows.
 */
extern char *derive_plan_full_sql(ViewPlan *plan);

/*
 * STAGE_FOLD: state rows of the groups in named tuplestore "touched" (columns k1..kn of
 * the keys' types); nulls says which keys (0-based) are NULL in all of its rows.
 */
extern char *derive_plan_touched_sql(ViewPlan *plan, Bitmapset *nulls);

/*
 * STAGE_KEYS: SQL that compares, for the keys in named tuplestore "touched" (as above),
 * new content with the rows stored in plan->view: rows as derive_plan_diff_sql gives.
 */
extern char *derive_plan_keys_sql(ViewPlan *plan, Bitmapset *nulls);

/* STAGE_FOLD: the view's rows out of the state table whose qualified, quoted name is given. */
extern char *derive_plan_output_sql(ViewPlan *plan, const char *state_table);

/*
 * SQL that compares new content (a SELECT) with a stored table (qualified, quoted name)
 * having the same columns: rows as derive_plan_delta_sql gives for STAGE_LINEAR (count,
 * image, key columns; ordered).  key: attnos of the stored table's columns, may be NIL.
 */
extern char *derive_plan_diff_sql(const char *new_sql, Oid stored_table, List *key);

/*
 * SQL of a recompute: the whole content (part NULL) compared with what plan->view, or of a
 * fold plan->state, stores; part {0}: of a fold, the view's rows out of its state, compared.
 */
extern char *derive_plan_recompute_sql(ViewPlan *plan, Bitmapset *part);

/*
 * Lines of derive.explain about one stage; relation: name of the stage's table, NULL for
 * the last stage, which is the view itself.
 */
extern List *derive_plan_explain(ViewPlan *plan, int number, const char *relation);

/* List of CREATE INDEX statements (char *) that would let the cost follow the change. */
extern List *derive_plan_missing_indexes(ViewPlan *plan);

#endif /* DERIVE_PLAN_PLAN_H */
