/*-------------------------------------------------------------------------
 *
 * hooks.h
 *	  What happens to views when other commands drop things, see hooks.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_API_HOOKS_H
#define DERIVE_API_HOOKS_H

extern void derive_hooks_init(void);

#endif /* DERIVE_API_HOOKS_H */
