/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Running a user's expressions as the owner of their view.
 *
 * A view's query may call any immutable function, so a worker with a
 * superuser's rights must never evaluate it as itself.  Between enter and leave
 * the current user is the view's owner, security-restricted (no SET ROLE, no
 * temporary objects, as in VACUUM, CREATE INDEX and REFRESH MATERIALIZED VIEW),
 * and search_path is locked.  An error needs no leave: the abort of the
 * (sub)transaction restores user, context and settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/owner.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/syscache.h"

/* Becomes the owner; scope is the caller's, to be handed to derive_owner_leave. */
void
derive_owner_enter(OwnerScope *scope, Oid owner)
{
	GetUserIdAndSecContext(&scope->saved_user, &scope->saved_context);
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SetUserIdAndSecContext(owner, scope->saved_context | SECURITY_LOCAL_USERID_CHANGE |
									  SECURITY_RESTRICTED_OPERATION);
}

/* Becomes what the process was before derive_owner_enter. */
void
derive_owner_leave(OwnerScope *scope)
{
	AtEOXact_GUC(false, scope->guc_level);
	SetUserIdAndSecContext(scope->saved_user, scope->saved_context);
}

Oid
derive_owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}
