import { describeFamily } from '../../support/family-conformance.js';

describeFamily('causal-language-model');
