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

#endif /* DERIVE_BASE_OWNER_H */
