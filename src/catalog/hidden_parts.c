/*-------------------------------------------------------------------------
 *
 * hidden_parts.c
 *	  What ties the hidden relations of a view to its table, and an outbox to its source.
 *
 * Definition, state, stages and read-only triggers depend internally on the table of
 * their view, so that they go with it and not without it.  pg_dump carries all these
 * objects, but no such dependency: the applier records them again when it first sees a
 * view that came out of a dump.  The triggers are what a restore brings last, after the
 * rows of all tables and the indexes; a view without them is still being restored.  So is one
 * that a placeholder stands for: of ordinary views whose groups need a primary key, a dump
 * has "SELECT NULL::integer AS id, ..." first, and CREATE OR REPLACE VIEW behind the keys.
 * Several processes that restore a dump may bring that later than the triggers.
 *
 * An outbox depends on its source, and that of a processor on its handler, too, so that none
 * of these goes without it; the same is done for them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/hidden_parts.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"

/* Says whether an object depends on another one in some way. */
static bool
is_tied(const ObjectAddress *object, const ObjectAddress *target, DependencyType how)
{
	Relation depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;
	bool found = false;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object->classId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object->objectId));
	scan = systable_beginscan(depend, DependDependerIndexId, true, NULL, 2, key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		found = row->refclassid == target->classId && row->refobjid == target->objectId &&
				row->deptype == (char) how;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

/* Makes an object depend internally on a relation; returns false if it did already. */
static bool
tie(Oid class_id, Oid object_id, Oid relid)
{
	ObjectAddress object, target;

	if (!OidIsValid(object_id))
		return false;
	ObjectAddressSet(object, class_id, object_id);
	ObjectAddressSet(target, RelationRelationId, relid);
	if (is_tied(&object, &target, DEPENDENCY_INTERNAL))
		return false;
	recordDependencyOn(&object, &target, DEPENDENCY_INTERNAL);
	return true;
}

/* Returns the trigger that makes a table read-only, or InvalidOid. */
static Oid
read_only_trigger(Oid relid)
{
	if (!OidIsValid(relid))
		return InvalidOid;
	return get_trigger_oid(relid, DERIVE_READ_ONLY_TRIGGER, true);
}

/*
 * Says whether a column of a query is NULL, cast to its type, and nothing else.  Nothing is
 * evaluated: the query is a user's, and this is not its owner.
 */
static bool
is_null_column(Node *node)
{
	switch (nodeTag(node))
	{
		case T_Const:
			return ((Const *) node)->constisnull;
		case T_FuncExpr: /* to a length, a precision */
			return ((FuncExpr *) node)->funcformat != COERCE_EXPLICIT_CALL &&
				   is_null_column(linitial(((FuncExpr *) node)->args));
		case T_RelabelType:
			return is_null_column((Node *) ((RelabelType *) node)->arg);
		case T_ArrayCoerceExpr:
			return is_null_column((Node *) ((ArrayCoerceExpr *) node)->arg);
		case T_CoerceToDomain:
			return is_null_column((Node *) ((CoerceToDomain *) node)->arg);
		case T_CollateExpr:
			return is_null_column((Node *) ((CollateExpr *) node)->arg);
		default:
			return false;
	}
}

/* Says whether a query is what pg_dump makes a view of as long as there is no primary key. */
static bool
is_placeholder(Query *query)
{
	ListCell *lc;

	if (query->jointree->fromlist != NIL || query->jointree->quals != NULL)
		return false;
	foreach (lc, query->targetList)
		if (!is_null_column((Node *) lfirst_node(TargetEntry, lc)->expr))
			return false;
	return true;
}

static bool reads_placeholder(Oid relid);

/*
 * Says whether a query, which is that of the given view, reads an ordinary view that is a
 * placeholder; a walker.
 */
static bool
placeholder_walker(Node *node, Oid *view)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, placeholder_walker, view);
	foreach (lc, ((Query *) node)->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		/* in some versions it carries entries for OLD and NEW */
		if (rte->rtekind == RTE_RELATION && rte->relkind == RELKIND_VIEW &&
			rte->relid != *view && reads_placeholder(rte->relid))
			return true;
	}
	return query_tree_walker((Query *) node, placeholder_walker, view, 0);
}

/*
 * Says whether an ordinary view, or one that it reads, is a placeholder, or locked by
 * whoever may be about to replace it.
 */
static bool
reads_placeholder(Oid relid)
{
	Relation relation;
	Query *query;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return true;
	relation = table_open(relid, NoLock);
	query = copyObject(get_view_query(relation));
	table_close(relation, NoLock);
	return is_placeholder(query) || placeholder_walker((Node *) query, &relid);
}

bool
derive_hidden_parts_complete(const CatalogView *view)
{
	return OidIsValid(read_only_trigger(view->view)) &&
		   (!OidIsValid(view->state_table) ||
			OidIsValid(read_only_trigger(view->state_table))) &&
		   (derive_hidden_parts_tied(view) ||
			(!reads_placeholder(view->query) && !reads_placeholder(view->definition)));
}

bool
derive_hidden_parts_tied(const CatalogView *view)
{
	ObjectAddress definition, target;

	ObjectAddressSet(definition, RelationRelationId, view->definition);
	ObjectAddressSet(target, RelationRelationId, view->view);
	return is_tied(&definition, &target, DEPENDENCY_INTERNAL);
}

bool
derive_hidden_parts_tie(const CatalogView *view)
{
	bool any = tie(RelationRelationId, view->definition, view->view);

	if (view->query != view->definition)
		any |= tie(RelationRelationId, view->query, view->view);
	any |= tie(RelationRelationId, view->state_table, view->view);
	any |= tie(TriggerRelationId, read_only_trigger(view->view), view->view);
	any |= tie(TriggerRelationId, read_only_trigger(view->state_table), view->view);
	if (OidIsValid(view->part_of))
		any |= tie(RelationRelationId, view->view, view->part_of);
	return any;
}

void
derive_hidden_parts_tie_outbox(Oid outbox, Oid class_id, Oid object_id)
{
	ObjectAddress object, target;

	ObjectAddressSet(object, RelationRelationId, outbox);
	ObjectAddressSet(target, class_id, object_id);
	if (!is_tied(&object, &target, DEPENDENCY_NORMAL))
		recordDependencyOn(&object, &target, DEPENDENCY_NORMAL);
}
