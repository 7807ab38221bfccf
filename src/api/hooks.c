/*-------------------------------------------------------------------------
 *
 * hooks.c
 *	  What happens to views when other commands drop things.
 *
 * Dropping a view's table by any way (DROP TABLE, DROP SCHEMA or DROP OWNED, a
 * cascade from a source) deletes its catalog row in the same transaction;
 * PostgreSQL's dependencies drop its definition and state.  Dropping the
 * extension tells the applier, which gives the slot back and ends.  Dropping,
 * renaming, moving or copying a database needs it free of other sessions, so its
 * workers are held off for the time of the command.  A new database may be a copy of one
 * that has the extension, so the launcher looks at it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/hooks.h"

#include "api/guard.h"
#include "api/redefine.h"
#include "base/compat.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/outbox_catalog.h"
#include "catalog/processor_catalog.h"
#include "catalog/view_catalog.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "shared/commit_hook.h"
#include "shared/pipeline.h"
#include "shared/view_stats.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "worker/launcher.h"

static object_access_hook_type previous_object_access = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* Deletes what the catalog knows of a table that is being dropped. */
static void
relation_dropped(Oid relid)
{
	char kind = get_rel_relkind(relid);

	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP ||
		(!derive_catalog_has_view(relid) && !derive_catalog_has_outbox(relid)))
		return;
	if (derive_catalog_has_outbox(relid))
		derive_catalog_delete_outbox(relid);
	derive_catalog_delete_view(relid);
	derive_view_stats_forget(relid);
	derive_commit_hook_catalog_changed(false);
}

/* Object access hook: watches what is dropped. */
static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, class_id, object_id, sub_id, arg);
	if (access != OAT_DROP || sub_id != 0)
		return;
	if (class_id == RelationRelationId)
		relation_dropped(object_id);
	else if (class_id == ExtensionRelationId &&
			 object_id == get_extension_oid(DERIVE_EXTENSION, true))
		derive_commit_hook_catalog_changed(false);
}

/* Returns the database that a command needs free of sessions, or InvalidOid. */
static Oid
database_to_free(Node *command)
{
	if (IsA(command, DropdbStmt))
		return get_database_oid(((DropdbStmt *) command)->dbname, true);
	if (IsA(command, RenameStmt) &&
		((RenameStmt *) command)->renameType == OBJECT_DATABASE)
		return get_database_oid(((RenameStmt *) command)->subname, true);
	if (IsA(command, CreatedbStmt))
	{
		const char *template = "template1";
		ListCell *lc;

		foreach (lc, ((CreatedbStmt *) command)->options)
		{
			DefElem *option = lfirst(lc);

			if (strcmp(option->defname, "template") == 0 && option->arg != NULL)
				template = defGetString(option);
		}
		return get_database_oid(template, true);
	}
	if (IsA(command, AlterDatabaseStmt))
	{
		ListCell *lc;

		foreach (lc, ((AlterDatabaseStmt *) command)->options)
			if (strcmp(((DefElem *) lfirst(lc))->defname, "tablespace") == 0)
				return get_database_oid(((AlterDatabaseStmt *) command)->dbname, true);
	}
	return InvalidOid;
}

/* Says whether the user may do to a database what frees it of our workers. */
static bool
may_free_database(Oid dboid)
{
	return pg_database_ownercheck(dboid, GetUserId());
}

/*
 * Utility hook: guards views, makes again those that a command has changed, and holds the
 * workers of a database off while a command needs it.
 */
static void
process_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *env, DestReceiver *dest, QueryCompletion *completion)
{
	Oid dboid = database_to_free(statement->utilityStmt);
	List *changed;
	ListCell *lc;

	if (OidIsValid(dboid) && (dboid == MyDatabaseId || !may_free_database(dboid)))
		dboid = InvalidOid;
	derive_guard_check(statement->utilityStmt);
	changed = derive_redefine_find(statement->utilityStmt);
	PG_TRY();
	{
		if (OidIsValid(dboid))
			derive_launcher_hold_database(dboid);
		if (previous_utility)
			previous_utility(statement, query, read_only_tree, context, params, env, dest,
							 completion);
		else
			standard_ProcessUtility(statement, query, read_only_tree, context, params,
									env, dest, completion);
	}
	PG_FINALLY();
	{
		if (OidIsValid(dboid))
			derive_launcher_resume_database(dboid);
	}
	PG_END_TRY();
	foreach (lc, changed)
		derive_redefine_readers((ChangedRelation *) lfirst(lc));
	if (IsA(statement->utilityStmt, RenameStmt) ||
		IsA(statement->utilityStmt, AlterObjectSchemaStmt))
		derive_catalog_name_handlers();
	if (derive_guard_is_own_trigger(statement->utilityStmt))
		derive_commit_hook_catalog_changed(false);
	if (IsA(statement->utilityStmt, CreatedbStmt))
		derive_commit_hook_probe_databases();
}

/* Registers the hooks; from _PG_init. */
void
derive_hooks_init(void)
{
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
