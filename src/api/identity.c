/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  What sources log of old rows, and what a view needs of that.
 *
 * A stage needs the old rows of updates and deletes with the columns that it reads.  They
 * are logged if these columns belong to the table's replica identity, or that is FULL;
 * otherwise it is set to FULL, if the caller may.  There are two exceptions:
 *
 *	- a stage that is recomputed, or is the first rows of one table, or a recursion, which is
 *	  recomputed when rows leave, only needs to hear that something changed, which every
 *	  identity tells it;
 *	- a stage that filters and projects one table, or has windows or DISTINCT ON over that,
 *	  and shows the columns of its identity, needs no more than these (plan/follow_keys.c).
 *
 * What a table below a source logs counts, because that is where the rows are.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "api/new_view.h"
#include "api/view_functions.h"
#include "base/compat.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

/* ---------- what is logged ---------- */

/*
 * Says whether the old rows that a table logs contain the given columns: all of
 * them do, or they are part of its identity's index.
 */
static bool
identity_covers(Relation rel, Bitmapset *columns)
{
	Bitmapset *identity;
	bool covered;

	if (rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return true;
	identity = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	covered = true;
	for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
		covered &= bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, identity);
	bms_free(identity);
	return covered;
}

/* Says whether a leaf table logs old rows with columns of its root. */
static bool
leaf_covers(Oid root, Oid leaf, Bitmapset *columns)
{
	Relation rel = table_open(leaf, AccessShareLock);
	Bitmapset *own = NULL;
	bool covered;

	for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
		own = bms_add_member(own, get_attnum(leaf, get_attname(root, attnum, false)));
	covered = identity_covers(rel, own);
	table_close(rel, AccessShareLock);
	return covered;
}

/* Returns the tables that hold a source's rows. */
static List *
leaves_of(Oid relid)
{
	List *leaves = NIL;
	ListCell *lc;

	foreach (lc, find_all_inheritors(relid, AccessShareLock, NULL))
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	return leaves;
}

/* Says whether all of these tables log old rows with columns of their root. */
static bool
leaves_cover(Oid root, List *leaves, Bitmapset *columns)
{
	ListCell *lc;

	foreach (lc, leaves)
		if (!leaf_covers(root, lfirst_oid(lc), columns))
			return false;
	return true;
}

/* ---------- keys instead of rows ---------- */

/*
 * Returns the columns of a table's replica identity, unless that is FULL; of a partitioned
 * table, which logs nothing itself, those of its primary key.
 */
static Bitmapset *
identity_columns(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	Bitmapset *columns = NULL;
	Bitmapset *key;

	key = RelationGetIndexAttrBitmap(rel,
									 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
										 ? INDEX_ATTR_BITMAP_PRIMARY_KEY
										 : INDEX_ATTR_BITMAP_IDENTITY_KEY);
	for (int i = -1; (i = bms_next_member(key, i)) >= 0;)
		columns = bms_add_member(columns, i + FirstLowInvalidHeapAttributeNumber);
	table_close(rel, AccessShareLock);
	return columns;
}

/* Returns the columns by which a plan's only table can be followed, or NIL. */
static List *
key_to_follow(ViewPlan *plan)
{
	PlanSource *source = linitial(plan->sources);
	bool parted = get_rel_relkind(source->relid) == RELKIND_PARTITIONED_TABLE;
	List *leaves = leaves_of(source->relid);
	Bitmapset *key;

	if (parted ? leaves != NIL && leaves_cover(source->relid, leaves, source->columns)
			   : list_length(leaves) != 1 ||
					 leaves_cover(source->relid, leaves, source->columns))
		return NIL;
	key = identity_columns(source->relid);
	if (key == NULL || !leaves_cover(source->relid, leaves, key))
		return NIL;
	return derive_plan_key_columns(plan, key);
}

/* Makes a plan follow keys, if that spares its table's identity, see new_view.h. */
List *
derive_new_view_follow_keys(ViewPlan *plan)
{
	PlanSource *source;
	List *columns;

	if (list_length(plan->sources) != 1)
		return NIL;
	source = linitial(plan->sources);
	if (source->only || derive_catalog_has_view(source->relid))
		return NIL;
	columns = key_to_follow(plan);
	derive_plan_follow_keys(plan, columns);
	return source->keys_only ? columns : NIL;
}

/* ---------- FULL ---------- */

/* Sets a table's replica identity to FULL if the caller may. */
static void
set_identity(Oid relid)
{
	char *qualified = quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));

	if (!pg_class_ownercheck(relid, GetUserId()))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" does not log old rows in full", get_rel_name(relid)),
			 errdetail("Deleted and updated rows must be known to maintain the view."),
			 errhint("Let its owner run: ALTER TABLE %s REPLICA IDENTITY FULL;",
					 qualified)));
	if (SPI_execute(psprintf("ALTER TABLE %s REPLICA IDENTITY FULL", qualified), false,
					0) < 0)
		elog(ERROR, "could not set the replica identity of \"%s\"", qualified);
	ereport(
		NOTICE,
		(errmsg("replica identity of table \"%s\" is set to FULL", get_rel_name(relid)),
		 errdetail("Deleted and updated rows must be known to maintain the view.")));
}

/* Makes sure that tables log old rows with columns of their root. */
static void
require_columns(Oid root, List *leaves, Bitmapset *columns)
{
	ListCell *lc;

	foreach (lc, leaves)
		if (!leaf_covers(root, lfirst_oid(lc), columns))
			set_identity(lfirst_oid(lc));
}

/* Makes sure that a table logs old rows in full, see view_functions.h. */
void
derive_api_require_full_identity(Oid relid)
{
	Relation rel = table_open(relid, NoLock);
	Bitmapset *columns = NULL;

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			columns = bms_add_member(columns, i + 1);
	table_close(rel, NoLock);
	SPI_connect();
	require_columns(relid, leaves_of(relid), columns);
	SPI_finish();
}

/*
 * Makes sure that all sources log old rows as far as the view needs them.  A stage that
 * reads no deltas, or none in which rows leave, only needs to hear that something changed.
 */
void
derive_new_view_check_identities(NewView *view)
{
	ListCell *lc;

	if ((view->root != NULL && view->root->explain) ||
		view->plan->rule == RULE_RECURSION || !derive_plan_reads_deltas(view->plan))
		return;

	foreach (lc, view->plan->sources)
	{
		PlanSource *source = lfirst(lc);

		if (!derive_catalog_has_view(source->relid))
			require_columns(source->relid,
							source->only ? list_make1_oid(source->relid)
										 : leaves_of(source->relid),
							source->columns);
	}
}
