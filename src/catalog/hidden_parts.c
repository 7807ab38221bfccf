/*-------------------------------------------------------------------------
 *
 * hidden_parts.c
 *	  What ties the hidden relations of a view to its table, and an outbox to its source.
 *
 * Definition, state, stages and read-only triggers depend internally on the table of
 * their view, so that they go with it and not without it.  pg_dump carries all these
 * objects, but no such dependency: the applier records them again when it first sees a
 * view that came out of a dump.  The triggers are what a restore brings last, after the
 * rows of all tables and the indexes; a view without them is still being restored.
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

bool
derive_hidden_parts_complete(const CatalogView *view)
{
	return OidIsValid(read_only_trigger(view->view)) &&
		   (!OidIsValid(view->state_table) ||
			OidIsValid(read_only_trigger(view->state_table)));
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
