import { describeFamily } from '../../support/family-conformance.js';

describeFamily('image-classifier');
