/*-------------------------------------------------------------------------
 *
 * redefine.c
 *	  Derived views whose queries mean something else now.
 *
 * A derived view's query is kept as it was written, but its stages and its block were made
 * of what the ordinary views in it said, and of what was known of its tables.  Three kinds of
 * commands change that: CREATE OR REPLACE VIEW; what gives a table its first inheritance child,
 * after which the table's keys do not identify the rows that FROM gives; and what takes a NOT
 * NULL or the primary key away, by which a subquery may have become a join.  In that
 * command's transaction the stages, the block, the state and the indexes of every view
 * concerned are made again.  A view without such subqueries keeps the key that it has when a
 * primary key goes: it fails if there are duplicates, until there are none.  What the gate
 * refuses now makes the command fail, as PostgreSQL does for what its own views depend on.
 *
 * The ids of views are a topological order, and a view's stages come before it.  So a view
 * that was made again gets a new id, and so do the views that read it: the applier takes
 * them for views that it has never seen, and brings their tables to what the queries say
 * by comparing, or, if the view's key is another one, by building them.  Its locks keep
 * the tables from being changed while it uses them.
 *
 * A derived view reads with its owner's rights what the ordinary views in it read.  So that
 * whoever replaces one of these does not get to see more than he may, its own owner must
 * have the rights, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/redefine.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "api/guard.h"
#include "api/new_view.h"
#include "base/compat.h"
#include "base/owner.h"
#include "catalog/hidden_parts.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/outbox_catalog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "plan/gate.h"
#include "shared/commit_hook.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* Drops a part of a view, which depends internally on the view's table. */
static void
drop_part(Oid relid)
{
	ObjectAddress object;

	if (!OidIsValid(relid))
		return;
	ObjectAddressSet(object, RelationRelationId, relid);
	deleteDependencyRecordsForClass(RelationRelationId, relid, RelationRelationId,
									DEPENDENCY_INTERNAL);
	CommandCounterIncrement();
	performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/* Drops the table of a view's state, with the trigger that is a part of the view, too. */
static void
drop_state(Oid relid)
{
	if (!OidIsValid(relid))
		return;
	deleteDependencyRecordsForClass(TriggerRelationId,
									get_trigger_oid(relid, "pg_derive_read_only", false),
									RelationRelationId, DEPENDENCY_INTERNAL);
	drop_part(relid);
}

/* True if a relation depends internally on a view's table. */
static bool
is_part(Oid relid, Oid view)
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		found |= form->refclassid == RelationRelationId && form->refobjid == view &&
				 form->deptype == DEPENDENCY_INTERNAL;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

/* Drops the indexes that pg_derive has made on a view's table. */
static void
drop_indexes(Oid relid)
{
	Relation rel = relation_open(relid, NoLock);
	List *indexes = RelationGetIndexList(rel);
	ListCell *lc;

	relation_close(rel, NoLock);
	foreach (lc, indexes)
		if (is_part(lfirst_oid(lc), relid))
			drop_part(lfirst_oid(lc));
}

/* Deletes a view's rows, past the trigger that refuses it. */
static void
delete_rows(Oid relid)
{
	Relation rel = table_open(relid, NoLock);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		simple_table_tuple_delete(rel, &slot->tts_tid, snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}

/* Drops the stages of a view, from the top down. */
static void
drop_stages(Oid view)
{
	List *stages = derive_catalog_find_stages(view);

	for (int i = list_length(stages) - 1; i >= 0; i--)
		drop_part(((CatalogView *) list_nth(stages, i))->view);
}

/*
 * Deletes the rows of a view that gets another key, which may not be one of theirs; not if
 * an outbox is to tell of each row that goes.
 */
static void
empty_view(Oid relid)
{
	if (derive_catalog_is_published(relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot change the key of derived view \"%s\", whose changes are "
						"events",
						get_rel_name(relid)),
				 errdetail("The rows that it has now would go without an event."),
				 errhint("Drop its outboxes and processors, and create them again "
						 "afterwards.")));
	delete_rows(relid);
}

/* Makes a view's hidden parts and indexes again, as its owner. */
static void
redefine(Oid relid, Oid owner)
{
	CatalogView *old = derive_catalog_find_view(relid);
	NewView view = {.schema = get_namespace_name(get_rel_namespace(relid)),
					.name = get_rel_name(relid)};
	OwnerScope scope;
	ListCell *lc;

	view.query = derive_catalog_read_query(old->query, AccessShareLock);
	derive_guard_hold_children(view.query);
	derive_gate_check_query(copyObject(view.query), NULL);
	derive_gate_check_expressions(copyObject(view.query), NULL);
	foreach (lc, derive_plan_queries(view.query))
		derive_check_query_permissions(lfirst(lc));
	view.row.view = relid;
	view.row.query = old->query;
	view.row.paused = old->paused;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	drop_indexes(relid);
	if (old->definition != old->query)
		drop_part(old->definition);
	drop_state(old->state_table);
	drop_stages(relid);
	derive_owner_leave(&scope);

	derive_new_view_make_stages(&view);
	view.row.key = old->key_given ? old->key : view.plan->key;
	if (!equal(view.row.key, old->key))
		empty_view(relid);
	view.row.id = view.number = derive_catalog_next_id();
	derive_new_view_check_identities(&view);
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	derive_new_view_create_indexes(&view);
	derive_new_view_create_block(&view, owner);
	derive_catalog_redefine_view(&view.row);
	derive_owner_leave(&scope);
}

/* Error context: the command is not about the view. */
static void
redefine_error_context(void *arg)
{
	errcontext("making derived view \"%s\" again", (char *) arg);
}

/* Makes a view again that reads what was changed. */
static void
redefine_view(Oid relid)
{
	ErrorContextCallback callback;
	OwnerScope scope;
	Oid owner;
	Relation rel;

	callback.callback = redefine_error_context;
	callback.arg = get_rel_name(relid);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	rel = relation_open(relid, AccessExclusiveLock);
	owner = rel->rd_rel->relowner;
	relation_close(rel, NoLock);
	derive_owner_enter(&scope, owner);
	SPI_connect();
	redefine(relid, owner);
	SPI_finish();
	derive_owner_leave(&scope);
	error_context_stack = callback.previous;
}

/* Checks that the owner of an ordinary view may read what it reads. */
static void
check_rights(Oid relid)
{
	Relation rel = relation_open(relid, NoLock);
	Oid owner = rel->rd_rel->relowner;
	Query *query;
	OwnerScope scope;
	ListCell *lc;

	relation_close(rel, NoLock);
	query = derive_catalog_read_query(relid, AccessShareLock);
	derive_owner_enter(&scope, owner);
	derive_gate_check_query(query, NULL);
	foreach (lc, derive_plan_queries(query))
		derive_check_query_permissions(lfirst(lc));
	derive_owner_leave(&scope);
}

/*
 * Says whether a view's query has subqueries of which the cut may have made a join by what is
 * known of columns: in expressions, LATERAL, or any in an ordinary view.
 */
static bool
has_such_subqueries(Oid view)
{
	Query *query = derive_catalog_read_query(derive_catalog_find_view(view)->query,
											 AccessShareLock);
	ListCell *lc, *lr;

	foreach (lc, derive_plan_queries(query))
	{
		Query *part = lfirst_node(Query, lc);

		if (part->hasSubLinks)
			return true;
		foreach (lr, part->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lr);

			if (rte->inFromCl && (rte->lateral || (rte->rtekind == RTE_RELATION &&
												   rte->relkind == RELKIND_VIEW)))
				return true;
		}
	}
	return false;
}

/* Throws if this transaction's snapshot does not show a view that is to be changed. */
static void
check_visible(Oid view)
{
	if (derive_catalog_find_view(view) == NULL)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not serialize access due to concurrent update"),
						errdetail("A derived view was created or dropped meanwhile."),
						errhint("The transaction might succeed if retried.")));
}

/*
 * Returns the derived views whose queries a change may have given another meaning.  Not those
 * of a dump that is being restored: it brings all that they are made of.  Of an ordinary view
 * whose groups need a primary key, it brings the query later than the view, and so it does of
 * the definition of a derived one.
 */
static List *
find_concerned(const ChangedRelation *change)
{
	List *views = NIL;
	ListCell *lc;

	foreach (lc, derive_catalog_readers(change->relid, false))
	{
		check_visible(lfirst_oid(lc));
		if (derive_hidden_parts_tied(derive_catalog_find_view(lfirst_oid(lc))) &&
			(!change->subqueries_only || has_such_subqueries(lfirst_oid(lc))))
			views = lappend_oid(views, lfirst_oid(lc));
	}
	return views;
}

/*
 * Returns the derived views that are to be made again and, in *above, all that read these.
 */
static List *
find_affected(const ChangedRelation *change, List **above)
{
	List *views = find_concerned(change);
	ListCell *lc;

	*above = NIL;
	foreach (lc, views)
		*above = list_concat_unique_oid(*above,
										derive_catalog_readers(lfirst_oid(lc), true));
	return views;
}

/*
 * The same, and locks all of them.  Whoever is creating a view over one of them has locked
 * that one: if it commits first, its view is found, too; if not, it gets a later id than
 * those that are given here.
 */
static List *
lock_affected(const ChangedRelation *change, List **above)
{
	List *locked = NIL;

	for (;;)
	{
		List *views = find_affected(change, above);
		List *todo = list_difference_oid(list_union_oid(views, *above), locked);
		ListCell *lc;

		if (todo == NIL)
			return views;
		foreach (lc, todo)
			LockRelationOid(lfirst_oid(lc), AccessExclusiveLock);
		locked = list_concat(locked, todo);
	}
}

/* Makes the readers of a relation again, see redefine.h. */
void
derive_redefine_readers(const ChangedRelation *change)
{
	List *views;
	List *above;
	ListCell *lc;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	views = lock_affected(change, &above);
	if (views != NIL)
	{
		if (get_rel_relkind(change->relid) == RELKIND_VIEW)
			check_rights(change->relid);
		foreach (lc, above)
			check_visible(lfirst_oid(lc));
		foreach (lc, derive_catalog_readers(change->relid, true))
		{
			if (list_member_oid(views, lfirst_oid(lc)))
				redefine_view(lfirst_oid(lc));
			else if (list_member_oid(above, lfirst_oid(lc)))
				derive_catalog_move_to_end(lfirst_oid(lc));
		}
		derive_commit_hook_catalog_changed(false);
	}
	PopActiveSnapshot();
}

/* Adds a relation to a list of ChangedRelations. */
static List *
add_changed(List *changes, Oid relid, bool subqueries_only)
{
	ChangedRelation *change = palloc(sizeof(ChangedRelation));

	change->relid = relid;
	change->subqueries_only = subqueries_only;
	return lappend(changes, change);
}

/* Adds a table that is to get its first inheritance child to a list. */
static List *
add_childless(List *changes, RangeVar *parent)
{
	Oid relid = RangeVarGetRelid(parent, NoLock, true);

	if (OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_RELATION &&
		!has_subclass(relid))
		changes = add_changed(changes, relid, false);
	return changes;
}

/* Says whether a part of ALTER TABLE takes a NOT NULL or the primary key away. */
static bool
drops_key_or_not_null(Oid relid, const AlterTableCmd *part)
{
	HeapTuple tuple;
	bool result;

	if (part->subtype != AT_DropConstraint)
		return part->subtype == AT_DropNotNull;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(get_relation_constraint_oid(
										   relid, part->name, true)));
	if (!HeapTupleIsValid(tuple))
		return false;
	/* 'n': NOT NULL, which has a name in later versions */
	result = strchr("pn", ((Form_pg_constraint) GETSTRUCT(tuple))->contype) != NULL;
	ReleaseSysCache(tuple);
	return result;
}

/* Adds what ALTER TABLE changes: new parents; tables that lose a key or a NOT NULL. */
static List *
add_altered(List *changes, AlterTableStmt *alter)
{
	Oid relid = RangeVarGetRelid(alter->relation, NoLock, true);
	bool drops = false;
	ListCell *lc;

	foreach (lc, alter->cmds)
	{
		AlterTableCmd *part = lfirst_node(AlterTableCmd, lc);

		if (part->subtype == AT_AddInherit)
			changes = add_childless(changes, (RangeVar *) part->def);
		drops |= OidIsValid(relid) && drops_key_or_not_null(relid, part);
	}
	if (drops)
		foreach (lc, find_all_inheritors(relid, NoLock, NULL))
			changes = add_changed(changes, lfirst_oid(lc), true);
	return changes;
}

/* Returns what a command changes under derived views, see redefine.h. */
List *
derive_redefine_find(Node *command)
{
	List *changes = NIL;
	ListCell *lc;

	if (IsA(command, ViewStmt) && ((ViewStmt *) command)->replace)
	{
		Oid relid = RangeVarGetRelid(((ViewStmt *) command)->view, NoLock, true);

		/* a definition is replaced by what restores a dump, see find_concerned */
		if (OidIsValid(relid) &&
			get_rel_namespace(relid) != get_namespace_oid(DERIVE_STATE_SCHEMA, true))
			changes = add_changed(changes, relid, false);
	}
	else if (IsA(command, CreateStmt))
	{
		foreach (lc, ((CreateStmt *) command)->inhRelations)
			changes = add_childless(changes, lfirst_node(RangeVar, lc));
	}
	else if (IsA(command, AlterTableStmt))
		changes = add_altered(changes, (AlterTableStmt *) command);
	return changes != NIL && derive_catalog_extension_exists() ? changes : NIL;
}
