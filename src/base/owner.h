/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Running a user's expressions as the owner of their view, see owner.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_OWNER_H
#define DERIVE_BASE_OWNER_H

typedef struct OwnerScope
{
	Oid saved_user;
	int saved_context;
	int guc_level;
} OwnerScope;

extern void derive_owner_enter(OwnerScope *scope, Oid owner);
extern void derive_owner_leave(OwnerScope *scope);

/* Returns the owner of a relation that is locked. */
extern Oid derive_owner_of(Oid relid);

#endif /* DERIVE_BASE_OWNER_H */
