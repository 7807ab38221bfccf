/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  Views of independent parts, by affected keys, see keys.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_MAINTAIN_KEYS_H
#define DERIVE_MAINTAIN_KEYS_H

#include "maintain/view_run.h"

extern void derive_keys_apply(ViewRun *run);

#endif /* DERIVE_MAINTAIN_KEYS_H */
