import { describeCovering } from '../../support/covering-tests.js';

describeCovering(['causal-language-model', 'pixel-model', 'performer in order']);
