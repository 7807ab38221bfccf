/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Commands that would change a view behind pg_derive's back.
 *
 * A view's table has exactly its query's columns and rows.  Its owner may rename,
 * move, index, cluster, analyze it, give it away and set its storage; what would
 * change its columns, restrict its rows, divert writes or take the read-only trigger
 * away is refused here, before the command runs.  (That trigger and the key's index
 * cannot be dropped because they depend internally on the table.)  The same holds for
 * outboxes and their partitions, whose trigger a restore may bring.  What is hidden in
 * schema derive_state is changed by superusers only, as our own commands are.  Nothing is looked
 * up for other commands than these few.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "api/guard.h"

#include "base/compat.h"
#include "catalog/hidden_parts.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/outbox_catalog.h"
#include "catalog/partition.h"
#include "catalog/view_catalog.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "plan/plan.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "publish/partitions.h"
#include "utils/lsyscache.h"

/* Returns true if a relation is an outbox or a partition of one. */
static bool
is_outbox(const RangeVar *relation)
{
	Oid relid = RangeVarGetRelid(relation, NoLock, true);

	return OidIsValid(relid) &&
		   (derive_catalog_has_outbox(relid) ||
			(get_rel_relispartition(relid) &&
			 derive_catalog_has_outbox(get_partition_parent(relid, true))));
}

/* Returns true if a name in a command is that of a derived view or an outbox. */
static bool
is_view(const RangeVar *relation)
{
	Oid relid = RangeVarGetRelid(relation, NoLock, true);

	return OidIsValid(relid) && (derive_catalog_has_view(relid) || is_outbox(relation));
}

/*
 * Returns true if a name in a command is that of hidden state, which belongs to the owner of
 * its view but is not theirs to change.
 */
static bool
is_hidden(const RangeVar *relation)
{
	Oid relid;

	if (relation == NULL || superuser())
		return false;
	relid = RangeVarGetRelid(relation, NoLock, true);
	return OidIsValid(relid) &&
		   get_rel_namespace(relid) == get_namespace_oid(DERIVE_STATE_SCHEMA, true) &&
		   pg_class_ownercheck(relid, GetUserId());
}

/* Refuses a command on hidden state. */
static void
refuse_hidden(const RangeVar *relation)
{
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("cannot change \"%s\", which is state of a derived view",
						   relation->relname),
					errhint("Change or drop the derived view.")));
}

/* Refuses a command; hint: what to do instead if it is a derived view. */
static void
refuse(const RangeVar *relation, const char *hint)
{
	if (is_outbox(relation))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot do this to outbox \"%s\"", relation->relname),
				 errdetail("Its rows are written by the pipeline and never changed."),
				 errhint("Drop it and create another one, or read it by a view.")));
	ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
					errmsg("cannot do this to derived view \"%s\"", relation->relname),
					errdetail("Its columns and rows follow from its query."),
					errhint("%s", hint)));
}

bool
derive_guard_is_own_trigger(Node *command)
{
	CreateTrigStmt *create = (CreateTrigStmt *) command;

	return IsA(command, CreateTrigStmt) && list_length(create->funcname) == 2 &&
		   strcmp(strVal(linitial(create->funcname)), DERIVE_STATE_SCHEMA) == 0 &&
		   strcmp(strVal(lsecond(create->funcname)), "reject_outbox_write") == 0;
}

/* Returns true if a part of ALTER TABLE leaves columns, rows and guard alone. */
static bool
is_harmless(AlterTableType type)
{
	switch (type)
	{
		case AT_ChangeOwner:
		case AT_ClusterOn:
		case AT_DropCluster:
		case AT_SetTableSpace:
		case AT_SetRelOptions:
		case AT_ResetRelOptions:
		case AT_ReplaceRelOptions:
		case AT_SetStatistics:
		case AT_SetOptions:
		case AT_ResetOptions:
		case AT_SetStorage:
		case AT_SetCompression:
		case AT_ReplicaIdentity:
		case AT_EnableRowSecurity:
		case AT_DisableRowSecurity:
			return true;
		default:
			return false;
	}
}

/*
 * Says whether a derived view reads a table.  If none does, nobody can create one until the end
 * of the transaction, and who was doing so has ended: its view is seen, or there is none.
 */
static bool
has_readers(Oid relid)
{
	if (derive_catalog_readers(relid, false) != NIL)
		return true;
	LockDatabaseObject(RelationRelationId, relid, 0, AccessExclusiveLock);
	if (derive_catalog_readers(relid, false) == NIL)
		return false;
	/* the table itself will be locked, which others who create views have done already */
	UnlockDatabaseObject(RelationRelationId, relid, 0, AccessExclusiveLock);
	return true;
}

void
derive_guard_hold_children(Query *query)
{
	ListCell *lc, *lr;

	foreach (lc, derive_plan_queries(query))
		foreach (lr, ((Query *) lfirst(lc))->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lr);

			if (rte->rtekind != RTE_RELATION || !rte->inFromCl)
				continue; /* not in FROM: a view's rule speaks of the view itself */
			if (rte->relkind == RELKIND_VIEW)
				derive_guard_hold_children(
					derive_catalog_read_query(rte->relid, AccessShareLock));
			else if (rte->relkind == RELKIND_RELATION)
				LockDatabaseObject(RelationRelationId, rte->relid, 0, AccessShareLock);
		}
}

/*
 * Checks what is to get an inheritance child: no derived view.  A table that one reads is
 * locked against the applier, which must not see the child's rows in its snapshot while
 * its plans do not know of the child.
 */
static void
check_parent(const RangeVar *parent)
{
	Oid relid = RangeVarGetRelid(parent, NoLock, true);

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_RELATION ||
		!derive_catalog_extension_exists())
		return;
	if (derive_catalog_has_view(relid))
		refuse(parent, "Do not inherit from it.");
	if (pg_class_ownercheck(relid, GetUserId()) &&
		(has_superclass(relid) || has_readers(relid)))
		LockRelationOid(relid, AccessExclusiveLock);
}

/* Returns true for the trigger that every view has, which a restored dump brings. */
static bool
is_our_trigger(const CreateTrigStmt *create)
{
	return strcmp(create->trigname, DERIVE_READ_ONLY_TRIGGER) == 0 &&
		   strcmp(NameListToString(create->funcname), "derive_state.reject_write") == 0;
}

/* Returns true if a part of ALTER TABLE is how a restore makes an outbox what it is. */
static bool
is_restore(const AlterTableCmd *part)
{
	return part->subtype == AT_EnableAlwaysTrig ||
		   (part->subtype == AT_AddConstraint &&
			((Constraint *) part->def)->contype == CONSTR_PRIMARY);
}

/* Checks ALTER TABLE: of a view, and of what would inherit from one. */
static void
check_alter(const AlterTableStmt *alter)
{
	bool checked = false;
	ListCell *lc;

	foreach (lc, alter->cmds)
	{
		const AlterTableCmd *part = lfirst_node(AlterTableCmd, lc);

		if (part->subtype == AT_AddInherit)
			check_parent((RangeVar *) part->def);
		if (is_harmless(part->subtype) || checked)
			continue;
		if (part->subtype == AT_EnableAlwaysTrig &&
			strcmp(part->name, DERIVE_READ_ONLY_TRIGGER) == 0)
			continue;
		if (is_restore(part) && is_outbox(alter->relation))
			continue;
		checked = true;
		if (is_hidden(alter->relation))
			refuse_hidden(alter->relation);
		if (is_view(alter->relation))
			refuse(alter->relation, "Drop it and create it with another query.");
	}
}

/* Checks CREATE TABLE … INHERITS; and … PARTITION OF, for an outbox makes its own. */
static void
check_create(const CreateStmt *create)
{
	ListCell *lc;

	foreach (lc, create->inhRelations)
	{
		RangeVar *parent = lfirst_node(RangeVar, lc);

		if (create->partbound != NULL && is_outbox(parent))
			refuse(parent, "");
		check_parent(parent);
	}
}

/* Throws if a utility command would do to a derived view what must not be done. */
void
derive_guard_check(Node *command)
{
	if (derive_partitions_at_work())
		return;
	if (IsA(command, AlterTableStmt) &&
		((AlterTableStmt *) command)->objtype == OBJECT_TABLE)
		check_alter((AlterTableStmt *) command);
	else if (IsA(command, CreateStmt))
		check_create((CreateStmt *) command);
	else if (IsA(command, AlterObjectSchemaStmt) &&
			 is_hidden(((AlterObjectSchemaStmt *) command)->relation))
		refuse_hidden(((AlterObjectSchemaStmt *) command)->relation);
	else if (IsA(command, RenameStmt) && is_hidden(((RenameStmt *) command)->relation))
		refuse_hidden(((RenameStmt *) command)->relation);
	else if (IsA(command, CreateTrigStmt) &&
			 !is_our_trigger((CreateTrigStmt *) command) &&
			 !derive_guard_is_own_trigger(command) &&
			 is_hidden(((CreateTrigStmt *) command)->relation))
		refuse_hidden(((CreateTrigStmt *) command)->relation);
	else if (IsA(command, RuleStmt) && is_hidden(((RuleStmt *) command)->relation))
		refuse_hidden(((RuleStmt *) command)->relation);
	else if (IsA(command, CreateTrigStmt) &&
			 !is_our_trigger((CreateTrigStmt *) command) &&
			 !derive_guard_is_own_trigger(command) &&
			 is_view(((CreateTrigStmt *) command)->relation))
		refuse(((CreateTrigStmt *) command)->relation,
			   "Put the trigger on the tables that the query reads.");
	else if (IsA(command, RuleStmt) && is_view(((RuleStmt *) command)->relation))
		refuse(((RuleStmt *) command)->relation,
			   "Create an ordinary view over it and the rule on that.");
}
