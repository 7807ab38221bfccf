/*-------------------------------------------------------------------------
 *
 * view_functions.c
 *	  derive.drop_view, refresh, pause, resume, and the trigger on views.
 *
 * They change the catalog in the caller's transaction; the applier follows after
 * its commit.  Each needs the rights of the view's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "api/view_functions.h"

#include "access/xlog.h"
#include "base/compat.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "shared/commit_hook.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(derive_start_pipeline);
PG_FUNCTION_INFO_V1(derive_drop_view);
PG_FUNCTION_INFO_V1(derive_refresh);
PG_FUNCTION_INFO_V1(derive_pause);
PG_FUNCTION_INFO_V1(derive_resume);
PG_FUNCTION_INFO_V1(derive_reject_write);
PG_FUNCTION_INFO_V1(derive_announce);

/* Says whether some replication slot is free, or this database has its own already. */
static bool
slot_available(void)
{
	bool available = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		if (!slot->in_use || slot->data.database == MyDatabaseId)
			available = true;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return available;
}

/* Checks what the server must be set to, and that this database can have a pipeline. */
void
derive_api_check_server(void)
{
	if (derive_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_derive must be loaded via shared_preload_libraries"),
				 errhint("Add this line to postgresql.conf and restart the server: "
						 "shared_preload_libraries = 'pg_derive'")));
	if (wal_level < WAL_LEVEL_LOGICAL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_derive needs wal_level \"logical\""),
				 errhint("Add this line to postgresql.conf and restart the server: "
						 "wal_level = logical")));
	if (!slot_available())
		ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						errmsg("all replication slots are in use"),
						errdetail("The pipeline of each database needs one."),
						errhint("Increase max_replication_slots and restart the server, "
								"or drop a slot that is not needed.")));
	if (!derive_pipeline_has_room(MyDatabaseId))
		ereport(
			ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("too many databases have a pipeline"),
			 errdetail("pg_derive.database_workers is %d.", derive_shared->npipelines),
			 errhint("Increase pg_derive.database_workers and restart the server.")));
}

/* Returns this database's entry, for functions that need a running pipeline. */
Pipeline *
derive_api_pipeline(void)
{
	Pipeline *pipeline;

	if (derive_shared == NULL)
		derive_api_check_server();
	pipeline = derive_pipeline_find(MyDatabaseId);
	if (pipeline == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("this database has no pipeline"),
						errhint("It starts when CREATE EXTENSION pg_derive commits.")));
	return pipeline;
}

/* Returns a view's catalog row; throws if the relation is not a derived view. */
static CatalogView *
find_view(Oid view)
{
	CatalogView *row = derive_catalog_find_view(view);
	char *name = get_rel_name(view);

	if (row != NULL)
		return row;
	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", view)));
	ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("\"%s\" is not a derived view", name),
					errhint("Derived views are listed in derive.views.")));
}

/* Returns the catalog row of a view that the current user owns. */
CatalogView *
derive_api_owned_view(Oid view)
{
	CatalogView *row = find_view(view);

	if (OidIsValid(row->part_of))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is a stage of derived view \"%s\"",
							   get_rel_name(view), get_rel_name(row->part_of)),
						errhint("Name the derived view.")));
	if (!pg_class_ownercheck(view, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(view));
	return row;
}

/* Returns the catalog row of a view that the current user may read. */
CatalogView *
derive_api_readable_view(Oid view)
{
	CatalogView *row = find_view(view);
	AclResult result = pg_class_aclcheck(view, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(view));
	return row;
}

/*
 * Returns the reason of a view's state as far as the current user may know it: the error
 * message of a query may hold values of rows that only the view's owner may read.
 */
const char *
derive_api_reason(Oid view, const char *reason)
{
	if (reason == NULL || pg_class_ownercheck(view, GetUserId()))
		return reason ? reason : "";
	return "The reason is shown to the view's owner, in derive.views.";
}

/* Called by the install script. */
Datum
derive_start_pipeline(PG_FUNCTION_ARGS)
{
	derive_api_check_server();
	derive_commit_hook_catalog_changed(true);
	PG_RETURN_VOID();
}

/* derive.drop_view: as DROP TABLE; the object access hook does the rest. */
Datum
derive_drop_view(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);
	bool cascade = PG_GETARG_BOOL(1);
	ObjectAddress object;

	derive_api_owned_view(view);
	LockRelationOid(view, AccessExclusiveLock);
	derive_api_owned_view(view);
	ObjectAddressSet(object, RelationRelationId, view);
	performDeletion(&object, cascade ? DROP_CASCADE : DROP_RESTRICT, 0);
	PG_RETURN_VOID();
}

/* derive.refresh: asks for a recompute at the next tick. */
Datum
derive_refresh(PG_FUNCTION_ARGS)
{
	Oid view = PG_GETARG_OID(0);
	CatalogView *row = derive_api_owned_view(view);

	if (row->paused)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("derived view \"%s\" is paused", get_rel_name(view)),
				 errhint("derive.resume recomputes it and maintains it from then on.")));
	derive_catalog_ask_refresh(view);
	derive_commit_hook_catalog_changed(false);
	PG_RETURN_VOID();
}

/* Sets whether a view is paused. */
static void
set_paused(Oid view, bool paused)
{
	CatalogView *row = derive_api_owned_view(view);

	if (row->paused == paused)
		return;
	derive_catalog_set_paused(view, paused);
	derive_commit_hook_catalog_changed(false);
}

/* derive.pause */
Datum
derive_pause(PG_FUNCTION_ARGS)
{
	set_paused(PG_GETARG_OID(0), true);
	PG_RETURN_VOID();
}

/* derive.resume */
Datum
derive_resume(PG_FUNCTION_ARGS)
{
	set_paused(PG_GETARG_OID(0), false);
	PG_RETURN_VOID();
}

/* Statement trigger on every view: only the applier, which fires no such trigger, writes. */
Datum
derive_reject_write(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger",
							   "derive_state.reject_write")));
	ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("cannot change derived view \"%s\"",
						   RelationGetRelationName(trigger->tg_relation)),
					errdetail("Its rows follow from its query."),
					errhint("Change the tables that the query reads.")));
}

/* Trigger function of the catalog: whatever writes it, a restored dump too, is announced. */
Datum
derive_announce(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("function \"%s\" must be called as a trigger",
							   "derive_state.announce")));
	derive_commit_hook_catalog_changed(false);
	return PointerGetDatum(NULL);
}
