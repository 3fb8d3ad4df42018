import { describe, expect, test } from 'vitest';
import { createReferenceBackend } from '../src/reference/index.ts';
import { conformanceSuite } from '../src/testing/index.ts';

conformanceSuite({ name: 'reference f32', create: async () => createReferenceBackend() }, { describe, test, expect });
